//! What can be done about packages, images and blobs.

use hod_archive::{PackError, UnpackError};
use hod_cache::{Error, ImageError, PackageError, Place};

/// What is known of damage where it is met is one blob.
pub(super) const DAMAGE: &str =
    "`hod check MIRROR` names everything that is damaged, and what to do";
/// Where blobs lie on their way.
const ELSEWHERE: &str = "set HOD_CACHE_DIR to a directory with room that you may write to";

/// What can be done about what a verb says.
pub(super) fn cache(error: &Error) -> Option<String> {
    match error {
        // The name is right, something else is not.
        Error::NotFound { similar: Some(name), query, place, .. }
            if query.split(['@', '/', '+', '~', '%', ' ']).next() == Some(name) =>
        {
            Some(format!("`hod list {} {name}` shows what is there", option(place)))
        }
        Error::NotFound { similar: Some(similar), .. } => {
            Some(format!("did you mean `{similar}`?"))
        }
        Error::NotFound { place, packages: 1.., .. } => {
            Some(format!("`hod list {}` shows what is there", option(place)))
        }
        Error::NotFound { place: Place::Mirror(_), packages: 0, .. } => {
            Some("see whether its name is right: nothing was pushed to it so far".to_owned())
        }
        Error::Codec { .. } => Some("leave out `--compression`, or give it `gzip`".to_owned()),
        Error::Ambiguous { matches, .. } => {
            let hash = matches.first()?.rsplit('/').next()?;
            Some(format!("name one by its hash, as in `/{hash}`"))
        }
        Error::NoPrefix { .. } => {
            Some("with `--rootfs` it is unpacked under its full paths".to_owned())
        }
        Error::ManyLayers { .. } => {
            Some("`umoci unpack` and `podman` unpack images that hod did not make".to_owned())
        }
        Error::TagOfPrefixes { .. } => {
            Some("give `--tag` with one prefix, or with specs of a store".to_owned())
        }
        Error::TagLacks { .. } => {
            Some("run it again without `--only` and `--exclude`: the image needs all".to_owned())
        }
        Error::Spool { .. } => Some(ELSEWHERE.to_owned()),
        Error::NoImage { .. } => Some("`hod push` makes one, where it is installed".to_owned()),
        Error::Tag(_) => {
            Some("copy it to a layout, `oci-layout:DIR`, which can hold it".to_owned())
        }
        _ => None,
    }
}

/// What can be done about an image that cannot be made, or not be stood upon.
pub(super) fn image(error: &ImageError) -> Option<String> {
    Some(match error {
        ImageError::Missing => {
            "name it with its tag: `ghcr.io/user/image:1.0`, `oci-layout:DIR:TAG` or `./DIR:TAG`"
                .to_owned()
        }
        ImageError::Platform { wanted, .. } => {
            format!("name one for {wanted} with `--base-image`")
        }
        ImageError::MediaType { .. } => {
            "`skopeo copy --format oci FROM TO` makes an image of one family of it".to_owned()
        }
        ImageError::NotDistributable { .. } | ImageError::Digest { .. } => {
            "name another with `--base-image`".to_owned()
        }
        ImageError::Codec { .. } => {
            "leave out `--compression`, or turn the base image into one of OCI's with `skopeo copy \
             --format oci FROM TO`"
                .to_owned()
        }
        ImageError::Architectures { .. } => {
            "push them one after the other, with the same `--tag`: both are behind it then"
                .to_owned()
        }
        ImageError::TooManyLayers { .. } => {
            "raise `--max-layers` (docker mounts up to 125), or name another with `--base-image`"
                .to_owned()
        }
        ImageError::Spool { .. } => ELSEWHERE.to_owned(),
        ImageError::Contended { .. } => "run the same command again".to_owned(),
        _ => return None,
    })
}

/// How a place is named on the command line.
fn option(place: &Place) -> String {
    match place {
        Place::Mirror(path) => format!("-m {path}"),
        Place::Store(path) => format!("--store {}", path.display()),
    }
}

pub(super) fn package(error: &PackageError) -> Option<String> {
    match error {
        PackageError::Missing { .. } => {
            Some("a prefix is the directory that `make install` wrote to".to_owned())
        }
        PackageError::NotADirectory { path } => {
            Some(format!("push the directory it lies in, `{}`", path.parent()?.display()))
        }
        PackageError::Empty { .. } => {
            Some("push it when something is installed in it, or name another".to_owned())
        }
        PackageError::BadText { .. } => {
            Some("use letters, digits, `.`, `_`, `+` and `-`".to_owned())
        }
        _ => None,
    }
}

pub(super) fn pack(error: &PackError) -> Option<String> {
    match error {
        PackError::Vanished { .. } | PackError::Changed { .. } => Some(
            "the prefix is being changed; push it when whatever writes to it is done".to_owned(),
        ),
        PackError::Whiteout { .. } => {
            Some("rename the file: a container would delete another one instead".to_owned())
        }
        _ => None,
    }
}

pub(super) fn unpack(error: &UnpackError) -> Option<String> {
    match error {
        UnpackError::DestinationExists { .. } => {
            Some("unpack to a new directory, or remove this one first".to_owned())
        }
        UnpackError::Decode(_)
        | UnpackError::Digest { .. }
        | UnpackError::Size { .. }
        | UnpackError::DiffId { .. } => Some(DAMAGE.to_owned()),
        UnpackError::Limit { what: "bytes", .. } => {
            Some("if you trust it, raise the limit with `--max-bytes`".to_owned())
        }
        UnpackError::Limit { what: "members", .. } => {
            Some("if you trust it, raise the limit with `--max-entries`".to_owned())
        }
        UnpackError::Ratio { .. } => {
            Some("if you trust it, raise the limit with `--max-ratio`".to_owned())
        }
        _ => None,
    }
}

/// What can be done about a mirror; what a registry says is told elsewhere.
pub(super) fn mirror(error: &hod_mirror::Error) -> Option<String> {
    match error {
        hod_mirror::Error::DoesNotExist { path } => {
            Some(format!("`hod push {} PREFIX` makes one", path.display()))
        }
        hod_mirror::Error::NotADirectory { .. } => {
            Some("name a directory for the mirror; `hod push` makes it".to_owned())
        }
        hod_mirror::Error::SizeMismatch { .. }
        | hod_mirror::Error::DigestMismatch { .. }
        | hod_mirror::Error::MissingBlob { .. }
        | hod_mirror::Error::MissingFile { .. } => Some(DAMAGE.to_owned()),
        hod_mirror::Error::NotAMirror { path, found: hod_mirror::Found::OciLayout } => {
            Some(format!("name it as what it is: `oci-layout:{}`", path.display()))
        }
        hod_mirror::Error::NotAMirror { path, found: hod_mirror::Found::Mirror } => {
            Some(format!("leave out `oci-layout:`: `{}`", path.display()))
        }
        hod_mirror::Error::NoSpackHalf { .. } => Some(
            "name a new directory without `oci-layout:`, and `hod copy` what is here to it"
                .to_owned(),
        ),
        hod_mirror::Error::NotAMirror { path, .. } => Some(format!(
            "name a new directory for the mirror, such as `{}`",
            path.join("cache").display()
        )),
        hod_mirror::Error::NewerLayout { .. } => Some("install a newer hod".to_owned()),
        hod_mirror::Error::Contended { .. } => Some("run the same command again".to_owned()),
        _ => None,
    }
}
