//! Which packages of a mirror fit into a place, without installing them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hod_archive::Cancel;
use hod_mirror::Mirror;
use hod_mirror::oci::RelocationFacts;
use hod_relocate::PrefixMap;
use hod_spec::SpecFile;
use hod_store::{BuildInfo, Layout, Store};

use crate::install::{
    Inquiry, Lists, Locator, Moves, Places, Verdict, build_info, by_facts, parse_build_info,
    plain_moves, resolved, sbang_of,
};
use crate::layer::Layer;
use crate::source::{Source, map};
use crate::{Error, Found, InstallError, LocalStore, Reporter, Shortage, facts};

/// Where packages would go.
#[derive(Debug)]
pub struct Target<'a> {
    /// The root, and where packages go below it.
    pub layout: &'a Layout,
    /// What is there; `None` if there is no store yet.
    pub store: Option<&'a Store>,
    /// The root without its padding, if a configuration says; of a store that is there, the store
    /// does.
    pub unpadded_root: Option<&'a Path>,
    /// Where a prefix goes that Spack did not make.
    pub plain: PathBuf,
    /// How many blobs are read at the same time.
    pub jobs: usize,
    /// Stops the work.
    pub cancel: Cancel,
}

/// Whether a package can be relocated to a place.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fit {
    /// It can.
    Fits,
    /// There is too little room in a binary; of several, this one lacks most.
    DoesNotFit(Shortage),
    /// It cannot be installed there, or nobody can tell: for another reason than room.
    Unknown(Box<InstallError>),
}

/// One package and a place.
#[derive(Debug)]
#[non_exhaustive]
pub struct Relocatable {
    /// The package, as `name@version/hash`.
    pub label: String,
    /// Whether it fits.
    pub fit: Fit,
    /// Whether that was known from when it was packed, and its blob was not read.
    pub is_from_facts: bool,
}

/// Says of each of the packages of `mirror` in `found` whether it fits into a place. What was found
/// out when they were packed is enough where it says so; of the others the blobs are read, twice
/// where only their end says what is to be relocated. Nothing is written.
///
/// Images that are no packages are left out.
///
/// # Errors
/// [`Error::Cancelled`] alone: what cannot be read is [`Fit::Unknown`].
pub fn relocatable(
    mirror: &Mirror,
    local: &LocalStore,
    found: &[Found],
    target: &Target<'_>,
    reporter: &dyn Reporter,
) -> Result<Vec<Relocatable>, Error> {
    let source = Source::new(mirror, local);
    let Target { layout, cancel, .. } = target;
    let sbang = sbang_of(target.store, layout, target.unpadded_root);
    let plain = resolved(&target.plain);
    let ground = Ground { source, target, sbang: &sbang, plain: &plain, reporter };
    let packages: Vec<&Found> =
        found.iter().filter(|found| found.spec.is_some() || found.facts.is_some()).collect();
    // First what costs little.
    let first = map(&packages, source.threads(), cancel, |found| ground.by_facts(found));
    let mut answers: Vec<Option<Relocatable>> = Vec::with_capacity(first.len());
    let mut rest = Vec::new();
    for (index, (found, answer)) in packages.iter().zip(first).enumerate() {
        let (fit, is_from_facts) = match answer {
            Answer::Open(candidate) => {
                rest.push((index, candidate));
                answers.push(None);
                continue;
            }
            Answer::Known(fit) => (fit, true),
            Answer::Refused(error) => (Fit::Unknown(error.into()), false),
        };
        answers.push(Some(Relocatable { label: found.label(), fit, is_from_facts }));
    }
    let read = map(&rest, target.jobs, cancel, |(_, candidate)| ground.by_blob(candidate));
    let _ = local.shrink();
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    for ((index, candidate), fit) in rest.iter().zip(read) {
        let label = candidate.label.clone();
        answers[*index] = Some(Relocatable { label, fit, is_from_facts: false });
    }
    Ok(answers.into_iter().flatten().collect())
}

/// A package whose blob may have to be read.
struct Candidate {
    label: String,
    layer: Layer,
    /// The spec and all it needs; of a prefix that Spack did not make there is none.
    specs: Option<SpecFile>,
}

/// What can be said without a blob.
enum Answer {
    Known(Fit),
    Refused(InstallError),
    /// Nothing.
    Open(Candidate),
}

struct Ground<'a> {
    source: Source<'a>,
    target: &'a Target<'a>,
    sbang: &'a Path,
    plain: &'a Path,
    reporter: &'a dyn Reporter,
}

impl Ground<'_> {
    fn by_facts(&self, found: &Found) -> Answer {
        let (candidate, facts) = match self.read(found) {
            Ok(read) => read,
            Err(error) => return Answer::Refused(error),
        };
        let Some(facts) = facts else { return Answer::Open(candidate) };
        match self.moves(&candidate, &build_info(&facts)) {
            Err(error) => Answer::Refused(error),
            Ok(moves) if by_facts(&facts, &moves) == Verdict::Fits => Answer::Known(Fit::Fits),
            Ok(_) => Answer::Open(candidate),
        }
    }

    /// The package and what is known of it, from small files.
    fn read(&self, found: &Found) -> Result<(Candidate, Option<RelocationFacts>), InstallError> {
        let label = found.label();
        let failed = |error| InstallError::from(self.source.error(error));
        let Some(entry) = &found.entry else {
            let image = found.image.as_ref().expect("what is found has an entry or an image");
            let documents = image.documents(self.source).map_err(failed)?;
            let is_spec = found.spec.is_some();
            let layer = Layer::of_image(&documents.manifest, &documents.config, &label, is_spec)?;
            let no_spec = |source: hod_spec::SpecFileError| InstallError::NoSpec {
                spec: label.clone(),
                source: Some(source.into()),
            };
            let specs = is_spec.then(|| SpecFile::parse(documents.config.bytes().to_vec()));
            let specs = specs.transpose().map_err(no_spec)?;
            let facts = documents.config.hod.as_ref();
            let facts = facts.and_then(|facts| facts.relocation.clone());
            return Ok((Candidate { label, layer, specs }, facts));
        };
        let layer = Layer::of_entry(entry);
        if layer.size.is_none() {
            let (digest, path) = (entry.layer.digest, entry.layer.path.clone());
            return Err(failed(hod_mirror::Error::MissingBlob { digest, path }));
        }
        let specs = Some(Locator::spec_file(self.source, found)?);
        let image = found.image.as_ref().and_then(|image| image.descriptor.as_ref());
        let facts = image.and_then(|image| facts::beside(self.source, image, &layer));
        Ok((Candidate { label, layer, specs }, facts))
    }

    fn by_blob(&self, candidate: &Candidate) -> Fit {
        let Candidate { label, layer, .. } = candidate;
        let inquiry = Inquiry {
            label,
            layer,
            source: self.source,
            cancel: &self.target.cancel,
            reporter: self.reporter,
        };
        let lists = |content: &[u8]| {
            let info = parse_build_info(content, label)?;
            let map = PrefixMap::new(self.moves(candidate, &info)?);
            Ok(Lists::new(&info, map, self.sbang.to_owned()))
        };
        match inquiry.ask(&lists) {
            Ok(None) => Fit::Fits,
            Ok(Some(error)) => {
                let shortage = Shortage::of(&error);
                let other = || InstallError::Relocate { spec: label.clone(), source: error.into() };
                shortage.map_or_else(|| Fit::Unknown(other().into()), Fit::DoesNotFit)
            }
            Err(error) => Fit::Unknown(error.into()),
        }
    }

    /// Which prefix becomes which, if the package is installed.
    fn moves(&self, candidate: &Candidate, info: &BuildInfo) -> Result<Moves, InstallError> {
        let Target { layout, store, .. } = self.target;
        let Some(specs) = &candidate.specs else {
            return Ok(plain_moves(info, self.plain));
        };
        let (store, prefixes) = (*store, &HashMap::new());
        Places { nodes: specs, store, layout, prefixes, sbang: self.sbang }
            .moves(specs.root(), info)
    }
}
