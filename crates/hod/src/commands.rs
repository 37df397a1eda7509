//! One function for each verb.

pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod env;
pub(crate) mod index;
pub(crate) mod install;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod mirror;
pub(crate) mod push;
pub(crate) mod show;
pub(crate) mod uninstall;
pub(crate) mod unpack;

use std::num::NonZeroUsize;
use std::path::{Component, Path, PathBuf};

use hod_archive::{Cancel, Limits};
use hod_mirror::{Mirror, Waiting};

use crate::ui::Printer;

/// The first signal asks the work to stop and clean up, the second stops it where it is (which is
/// safe as well: a mirror is whole at every instant).
pub(crate) fn cancel_on_signal() -> Cancel {
    let cancel = Cancel::default();
    let flag = cancel.clone();
    // Fails only if it is called twice.
    let _ = ctrlc::set_handler(move || {
        if flag.is_cancelled() {
            std::process::exit(130);
        }
        flag.cancel();
    });
    cancel
}

/// As many threads as asked for, or as there are cores.
pub(crate) fn jobs(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    asked.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// What no archive may exceed.
pub(crate) fn limits(asked: &crate::cli::UnpackLimits) -> Limits {
    let limits = Limits::default();
    Limits {
        max_bytes: asked.max_bytes.unwrap_or(limits.max_bytes),
        max_entries: asked.max_entries.unwrap_or(limits.max_entries),
        max_ratio: asked.max_ratio.unwrap_or(limits.max_ratio),
        ..limits
    }
}

/// Another process has the mirror's lock.
pub(crate) fn waiting(waiting: &Waiting, printer: &Printer) {
    let holder = waiting.holder.as_ref();
    let holder = holder.map_or_else(String::new, |holder| format!(", locked by {holder}"));
    printer.say(format_args!("Waiting for `{}`{holder}", waiting.mirror.display()));
}

/// Another process has a lock of the store: that of the database, or of a package.
pub(crate) fn waiting_for_store(waiting: &hod_store::Waiting, store: &Path, printer: &Printer) {
    let holder = waiting.holder.map(|pid| format!(", locked by process {pid}"));
    let is_database = waiting.path.file_name().is_some_and(|name| name == "lock");
    let what = if is_database { "the database" } else { "a package" };
    printer.say(format_args!(
        "Waiting for {what} of `{}`{}",
        store.display(),
        holder.unwrap_or_default()
    ));
}

/// How container tools name an image of the mirror. Without `./`: podman makes a name of the path
/// and takes `localhost/./cache` for none.
pub(crate) fn reference(mirror: &Mirror, tag: &str) -> String {
    match mirror {
        Mirror::Registry(registry) => format!("{}:{tag}", registry.reference().name()),
        Mirror::Directory(directory) => {
            let is_name = |component: &Component<'_>| *component != Component::CurDir;
            let path = directory.layout_path();
            let path: PathBuf = path.components().filter(is_name).collect();
            format!("oci:{}:{tag}", path.display())
        }
    }
}
