//! Install: packages of mirrors become packages of a store.
//!
//! ```text
//! resolve ─▶ plan ═▶ fetch ─ verify ─ unpack + relocate ─▶ register
//! queries    data    one pass over each blob, several at   one writer, dependencies
//! to specs           the same time                         first
//! ```
//!
//! Every new prefix is known from the plan and every old one is in the archive, so that no package
//! waits for those it depends on. Only their names and records come in order.

mod ahead;
mod error;
mod graph;
mod known_list;
mod leftover;
mod locate;
mod manifest;
mod moves;
mod plan;
mod prefix;
mod register;
mod relocation;
mod resolve;
mod room;
mod run;
mod stage;

pub use error::InstallError;
pub use graph::{Graph, LockError};
pub use plan::{Absent, Dependencies, InstallPlan, PlanOptions, Step, plan_install};
pub use prefix::{PlainInstalled, PlainRequest, install_plain};
pub use relocation::RelocationError;
pub use resolve::resolve;
pub use room::Shortage;
pub use run::{
    InstallJob, InstallOptions, InstallOutcome, InstallResult, InstallSummary, Installed, install,
};

pub(crate) use locate::Locator;
pub(crate) use moves::parse as parse_build_info;
pub(crate) use moves::sbang_of;
pub(crate) use moves::{Moves, Places};
pub(crate) use prefix::{plain_moves, resolved};
pub(crate) use relocation::Lists;
pub(crate) use room::{Inquiry, Verdict, build_info, by_facts};

use hod_mirror::Mirror;

/// A mirror to install from.
#[derive(Debug, Clone, Copy)]
pub struct InstallSource<'a> {
    /// The mirror.
    pub mirror: &'a Mirror,
    /// Whether what it has must be signed. Hod verifies no signatures yet, so that nothing is
    /// installed from such a mirror. Registries have no signatures, for Spack neither.
    pub is_signed: bool,
}
