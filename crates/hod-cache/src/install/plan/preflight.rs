//! Finds out before anything is written whether there is room for the new prefixes, where what is
//! known of a package says so without its blob.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hod_relocate::PrefixMap;
use hod_spec::{DagHash, Spec};
use hod_store::{Layout, Store};

use super::{Graph, InstallError, PlanOptions, built};
use crate::Event;
use crate::install::locate::{Located, Locator};
use crate::install::moves::Places;
use crate::install::moves::parse;
use crate::install::relocation::Lists;
use crate::install::room::{Inquiry, Verdict, build_info, by_facts};

pub(super) struct Preflight<'a> {
    pub(super) graph: &'a Graph,
    pub(super) store: Option<&'a Store>,
    pub(super) layout: &'a Layout,
    /// Of what is to be installed.
    pub(super) prefixes: &'a HashMap<DagHash, PathBuf>,
    pub(super) sbang: &'a Path,
    pub(super) options: &'a PlanOptions,
    /// Held by who reads a blob, which takes all cores and memory for them.
    pub(super) turn: Mutex<()>,
}

impl Preflight<'_> {
    /// [`InstallError::Relocate`] for a package that does not fit. Everything else is for the
    /// installation to find out: a blob is read only if it probably does not fit.
    pub(super) fn check(
        &self,
        spec: &Spec,
        locator: &Locator<'_>,
        located: &Located,
    ) -> Result<(), InstallError> {
        let Ok(built) = built(self.graph, spec) else { return Ok(()) };
        let beside;
        let facts = match &located.relocation {
            Some(facts) => facts,
            None => match locator.facts_beside(built, &located.layer) {
                Some(facts) => {
                    beside = facts;
                    &beside
                }
                None => return Ok(()),
            },
        };
        let places = Places {
            nodes: self.graph,
            store: self.store,
            layout: self.layout,
            prefixes: self.prefixes,
            sbang: self.sbang,
        };
        let Ok(moves) = places.moves(spec, &build_info(facts)) else { return Ok(()) };
        if by_facts(facts, &moves) != Verdict::Doubtful {
            return Ok(());
        }
        let label = spec.label();
        let inquiry = Inquiry {
            label: &label,
            layer: &located.layer,
            source: locator.source,
            cancel: &self.options.cancel,
            reporter: &|_: Event<'_>| {},
        };
        let lists = |content: &[u8]| {
            let info = parse(content, &label)?;
            let map = PrefixMap::new(places.moves(spec, &info)?);
            Ok(Lists::new(&info, map, self.sbang.to_owned()))
        };
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = inquiry.ask(&lists);
        drop(turn);
        match answer {
            Ok(Some(source)) => {
                Err(InstallError::Relocate { spec: label.clone(), source: source.into() })
            }
            Err(InstallError::Cancelled) => Err(InstallError::Cancelled),
            Ok(None) | Err(_) => Ok(()),
        }
    }
}
