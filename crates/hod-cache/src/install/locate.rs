//! Which blob of a mirror is a spec's.

use std::collections::HashMap;
use std::sync::OnceLock;

use hod_mirror::Mirror;
use hod_mirror::oci::{Descriptor, RelocationFacts};
use hod_mirror::spack::{EntryName, Signature, V2Name};
use hod_spec::{DagHash, Spec, SpecFile};

use super::{InstallError, InstallSource};
use crate::find::{Found, FoundImage};
use crate::layer::Layer;
use crate::source::Source;
use crate::{Error, LocalStore, facts, package};

/// One mirror, in which specs are looked for one by one.
#[derive(Debug)]
pub(crate) struct Locator<'a> {
    pub(crate) source: Source<'a>,
    is_signed: bool,
    /// Entries of the old layout, which are found by going through all of them.
    v2: OnceLock<Vec<V2Name>>,
    /// The images of a directory, by tag.
    images: OnceLock<HashMap<String, Descriptor>>,
}

/// The blob of a spec.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) layer: Layer,
    /// What is known of its relocation, if that was read along with where it is.
    pub(super) relocation: Option<RelocationFacts>,
}

impl<'a> Locator<'a> {
    pub(super) fn new(from: InstallSource<'a>, local: &'a LocalStore) -> Self {
        let source = Source::new(from.mirror, local);
        Self { source, is_signed: from.is_signed, v2: OnceLock::new(), images: OnceLock::new() }
    }

    /// The blob of `spec`; `None` if the mirror does not have it.
    ///
    /// # Errors
    /// What the mirror has cannot be read or is of another spec, or may not be trusted.
    pub(super) fn locate(&self, spec: &Spec) -> Result<Option<Located>, InstallError> {
        let label = spec.label();
        let failed = |error: hod_mirror::Error| InstallError::from(self.source.error(error));
        match self.source.mirror {
            Mirror::Directory(directory) => {
                let named = EntryName::of(spec)
                    .map_err(|source| Error::Name { package: label.clone(), source })?;
                let entry = match directory.read_spack_entry(&named).map_err(failed)? {
                    Some(entry) => Some(entry),
                    None => match self.v2_name(&spec.hash)? {
                        Some(name) => directory.read_spack_v2_entry(name).map_err(failed)?,
                        None => None,
                    },
                };
                let Some(entry) = entry else { return self.image(spec) };
                self.trust(entry.signature, &label)?;
                if entry.layer.size.is_none() {
                    let (digest, path) = (entry.layer.digest, entry.layer.path);
                    return Err(failed(hod_mirror::Error::MissingBlob { digest, path }));
                }
                Ok(Some(Located { layer: Layer::of_entry(&entry), relocation: None }))
            }
            Mirror::Registry(_) => self.image(spec),
        }
    }

    /// The spec with all its dependencies, as the mirror has it.
    pub(crate) fn spec_file(source: Source<'_>, found: &Found) -> Result<SpecFile, Error> {
        let failed = |error| source.error(error);
        if let (Some(entry), Mirror::Directory(directory)) = (&found.entry, source.mirror) {
            return directory.read_spec(entry).map_err(failed);
        }
        let image = found.image.as_ref().expect("what is found has an entry or an image");
        let config = image.documents(source).map_err(failed)?.config;
        SpecFile::parse(config.bytes().to_vec()).map_err(|error| {
            let digest = config.digest();
            let source = hod_mirror::ParseError::SpecFile(error);
            failed(hod_mirror::Error::Document { digest, source })
        })
    }

    /// The image of a spec, by its tag. Nobody signs images for Spack.
    fn image(&self, spec: &Spec) -> Result<Option<Located>, InstallError> {
        let image = FoundImage { tag: package::spack_tag(spec), descriptor: None };
        let documents = match image.documents(self.source) {
            Err(hod_mirror::Error::MissingTag { .. }) => return Ok(None),
            documents => documents.map_err(|error| self.source.error(error))?,
        };
        let found = SpecFile::parse(documents.config.bytes().to_vec());
        match found {
            Ok(file) if file.root().hash == spec.hash => {}
            Ok(file) => {
                let found = file.root().label();
                return Err(InstallError::AnotherSpec { spec: spec.label(), found });
            }
            Err(_) => return Ok(None),
        }
        let layer = Layer::of_image(&documents.manifest, &documents.config, &spec.label(), true)?;
        let relocation = documents.config.hod.as_ref().and_then(|facts| facts.relocation.clone());
        Ok(Some(Located { layer, relocation }))
    }

    /// What the image beside an entry of a build cache knows of the relocation of the same blob: two
    /// small files. What cannot be read is not known.
    pub(super) fn facts_beside(&self, spec: &Spec, layer: &Layer) -> Option<RelocationFacts> {
        let Mirror::Directory(directory) = self.source.mirror else { return None };
        let images = self.images.get_or_init(|| {
            let entries = directory.entries().unwrap_or_default();
            entries.into_iter().filter_map(|entry| Some((entry.tag?, entry.descriptor))).collect()
        });
        facts::beside(self.source, images.get(&package::spack_tag(spec))?, layer)
    }

    fn trust(&self, signature: Signature, label: &str) -> Result<(), InstallError> {
        if !self.is_signed {
            return Ok(());
        }
        let (spec, mirror) = (label.to_owned(), self.source.mirror.to_string());
        let is_signed = signature != Signature::None;
        Err(InstallError::Signature { spec, mirror, is_signed })
    }

    fn v2_name(&self, hash: &DagHash) -> Result<Option<&V2Name>, Error> {
        let Mirror::Directory(directory) = self.source.mirror else { return Ok(None) };
        let names = if let Some(names) = self.v2.get() {
            names
        } else {
            let names = directory.spack_v2_names();
            let names = names.map_err(|error| self.source.error(error))?.names;
            self.v2.get_or_init(|| names)
        };
        Ok(names.iter().find(|name| name.hash() == *hash))
    }
}
