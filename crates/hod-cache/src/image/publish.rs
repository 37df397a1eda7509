//! `--tag`: an image gets a name of its own, which it may share with images of other platforms.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use hod_archive::Digest;
use hod_mirror::oci::{Descriptor, Platform, Tag, media_type};
use hod_mirror::registry::{BlobSource, RawManifest, UploadOptions};
use hod_mirror::{ImageMirror, NamedManifest};

use super::index::{self, Current, Next};
use super::{ImageError, Object, Rendered};
use crate::Error;

/// How often the tag is written before it is left to the others.
const ROUNDS: u32 = 6;
/// After the first round it takes up to so long until the tag is looked at again; twice as long
/// after each further one.
const PAUSE: Duration = Duration::from_millis(200);

/// An image that has its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// What the tag leads to: the image, or an index that names it.
    pub digest: Digest,
    /// The manifest of the image itself.
    pub image: Digest,
    /// The tag led there before.
    pub was_there: bool,
}

/// Gives an image, all of whose layers are in the mirror, its name. Where the tag is of an image
/// for another platform, or of an index, it becomes an index of all of them.
///
/// Registries have no conditional `PUT`, so two machines that write the tag at the same time may
/// overwrite each other. After a pause of random length the tag is read again, and written again
/// if this image is not in it. That loses an image only if the other writer read the tag before
/// this one wrote it, and wrote it after this one looked again.
///
/// # Errors
/// [`Error::Image`] if others keep writing the tag.
pub fn publish_tag(mirror: &dyn ImageMirror, tag: &Tag, image: &Rendered) -> Result<Tagged, Error> {
    publish(mirror, tag, image, &mut |round| {
        let jitter = RandomState::new().build_hasher().finish() % 1000;
        let share = f64::from(u32::try_from(jitter).unwrap_or(0)) / 1000.0;
        std::thread::sleep((PAUSE * 2_u32.pow(round)).mul_f64(0.5 + share / 2.0));
    })
}

/// `pause` is told the number of the round.
pub(super) fn publish(
    mirror: &dyn ImageMirror,
    tag: &Tag,
    image: &Rendered,
    pause: &mut dyn FnMut(u32),
) -> Result<Tagged, Error> {
    let error = |source| Error::mirror(mirror.location(), source);
    let wrong = |source| Error::Image { image: tag.to_string(), source: Box::new(source) };
    let next = || {
        let current = current(mirror, tag).map_err(error)?;
        index::next(current, image).map_err(|source| wrong(ImageError::Config(source)))
    };
    let own = image.manifest.digest;
    if next()? == Next::Same {
        let found = mirror.manifest(tag.as_str()).map_err(error)?;
        let digest = found.map_or(own, |found| found.digest);
        return Ok(Tagged { digest, image: own, was_there: true });
    }
    let config = BlobSource::Bytes(&image.config);
    let ask = UploadOptions { ask_first: true, ..UploadOptions::default() };
    mirror.put_blob(config, ask).map_err(error)?;
    let named = |tag: Option<&Tag>, manifest: &RawManifest, platform: Option<&Platform>| {
        let (tag, manifest) = (tag.cloned(), manifest.clone());
        NamedManifest { tag, manifest, platform: platform.cloned() }
    };
    let platform = Some(&image.platform);
    let mut is_stored = false;
    for round in 0..ROUNDS {
        // Between this look at the tag and writing it lies as little as possible.
        match next()? {
            Next::Same => {}
            Next::Image => {
                let image = named(Some(tag), &image.manifest, platform);
                mirror.put_manifests(&[image]).map_err(error)?;
            }
            Next::Index(index) => {
                let index = named(Some(tag), &index, None);
                if is_stored {
                    mirror.put_manifests(&[index]).map_err(error)?;
                } else {
                    let image = named(None, &image.manifest, platform);
                    mirror.put_manifests(&[image, index]).map_err(error)?;
                }
            }
        }
        is_stored = true;
        pause(round);
        if let Some(found) = mirror.manifest(tag.as_str()).map_err(error)?
            && index::names(&found, own)
        {
            return Ok(Tagged { digest: found.digest, image: own, was_there: false });
        }
    }
    Err(wrong(ImageError::Contended { rounds: ROUNDS }))
}

/// What the tag leads to, with the platform of a single image, which its config names.
fn current(mirror: &dyn ImageMirror, tag: &Tag) -> Result<Current, hod_mirror::Error> {
    let Some(raw) = mirror.manifest(tag.as_str())? else { return Ok(Current::Nothing) };
    if media_type::is_index(&raw.media_type) {
        return Ok(Current::Index(raw));
    }
    if !media_type::is_manifest(&raw.media_type) {
        return Ok(Current::Nothing);
    }
    let descriptor = raw.descriptor();
    Ok(match platform(mirror, raw)? {
        Some(platform) => Current::Image(Descriptor { platform: Some(platform), ..descriptor }),
        // An artifact runs nowhere; whoever gives its tag to an image wants it gone.
        None => Current::Nothing,
    })
}

fn platform(
    mirror: &dyn ImageMirror,
    raw: RawManifest,
) -> Result<Option<Platform>, hod_mirror::Error> {
    let manifest = raw.into_manifest()?;
    let config = match mirror.read_config(&manifest) {
        Ok(config) => config,
        Err(hod_mirror::Error::MediaType { .. } | hod_mirror::Error::Document { .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let text = Object::parse(config.bytes()).unwrap_or_default();
    let variant = text.get("variant").and_then(|text| serde_json::from_str(text).ok());
    Ok(Some(Platform {
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        other: variant.map(|variant| ("variant".to_owned(), variant)).into_iter().collect(),
    }))
}
