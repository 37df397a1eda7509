//! `hod mirror list`

use hod_store::MirrorConfig;
use serde_json::json;

use crate::surroundings::Surroundings;
use crate::ui::{ExitStatus, Printer};

/// The lines of `spack mirror list`.
pub(super) fn run(
    surroundings: &Surroundings<'_>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let mirrors = surroundings.config()?.mirrors()?;
    if printer.is_json() {
        for mirror in &mirrors {
            printer.json(&json!({
                "name": mirror.name,
                "fetch": mirror.fetch.url,
                "push": mirror.push.as_ref().map(|push| &push.url),
                "binary": mirror.binary,
                "source": mirror.source,
                "signed": mirror.signed,
                "autopush": mirror.autopush,
                "file": mirror.file,
            }));
        }
        return Ok(ExitStatus::Success);
    }
    if mirrors.is_empty() {
        printer.say("No mirrors are configured");
    }
    let width = mirrors.iter().map(|mirror| mirror.name.chars().count()).max().unwrap_or(0);
    for mirror in &mirrors {
        printer.data(line(mirror, width));
    }
    Ok(ExitStatus::Success)
}

/// As `Mirror.display` in `spack/mirrors/mirror.py`; and of one without a place to push to, that.
fn line(mirror: &MirrorConfig, width: usize) -> String {
    let source = if mirror.source { 's' } else { ' ' };
    let binary = if mirror.binary { 'b' } else { ' ' };
    let fetch = &mirror.fetch.url;
    let place = match &mirror.push {
        Some(push) if push.url == *fetch => fetch.clone(),
        Some(push) => format!("fetch: {fetch} push: {}", push.url),
        None => format!("fetch: {fetch}"),
    };
    format!("{:width$} [{source}{binary}] {place}", mirror.name)
}
