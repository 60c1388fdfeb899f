//! The order in which clusters come up (Envoy's `ClusterManagerInitHelper`). See `LIFECYCLE.md`.

use std::collections::HashSet;

use nuncio_sdk::ClusterId;

/// When a cluster is initialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitPhase {
    /// At once: what discovery itself may need (STATIC, DNS).
    Primary,
    /// After all primary ones: what is discovered (EDS).
    Secondary,
}

/// How far initialization has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitStage {
    /// Static clusters are being added.
    #[default]
    Loading,
    /// All are added, primary ones are not all ready.
    WaitingForPrimary,
    /// Primary ones are ready; secondary ones may start (the server starts ADS before).
    WaitingToStartSecondary,
    /// Secondary ones are not all ready.
    WaitingForSecondary,
    /// CDS may start.
    WaitingToStartCds,
    /// CDS has begun; what its first answer adds is not all ready.
    WaitingForCds,
    /// Everything is up.
    Done,
}

/// The state machine: it knows only who is not ready yet.
#[derive(Debug, Default)]
pub(super) struct Init {
    stage: InitStage,
    primary: HashSet<ClusterId>,
    secondary: HashSet<ClusterId>,
    /// There is a CDS to be waited for.
    cds: bool,
    /// Its first answer was applied.
    cds_answered: bool,
}

impl Init {
    pub(super) fn stage(&self) -> InitStage {
        self.stage
    }

    /// A cluster that is not ready was added.
    pub(super) fn add(&mut self, id: ClusterId, phase: InitPhase) {
        if self.stage == InitStage::Done {
            return;
        }
        match phase {
            InitPhase::Primary => self.primary.insert(id),
            InitPhase::Secondary => self.secondary.insert(id),
        };
    }

    /// A cluster is ready, or is gone.
    pub(super) fn remove(&mut self, id: ClusterId) {
        self.primary.remove(&id);
        self.secondary.remove(&id);
    }

    /// All static clusters are added.
    pub(super) fn static_clusters_loaded(&mut self, cds: bool) {
        if self.stage == InitStage::Loading {
            self.cds = cds;
            self.stage = InitStage::WaitingForPrimary;
        }
    }

    /// The first answer of CDS was applied, or its time is over.
    pub(super) fn cds_answered(&mut self) {
        self.cds_answered = true;
    }

    /// Goes as far as possible; returns whether the last stage was reached just now.
    pub(super) fn advance(&mut self) -> bool {
        let before = self.stage;
        loop {
            let next = match self.stage {
                InitStage::WaitingForPrimary if self.primary.is_empty() => {
                    InitStage::WaitingToStartSecondary
                }
                InitStage::WaitingToStartSecondary => InitStage::WaitingForSecondary,
                InitStage::WaitingForSecondary if self.secondary.is_empty() => {
                    InitStage::WaitingToStartCds
                }
                InitStage::WaitingToStartCds if self.cds => InitStage::WaitingForCds,
                InitStage::WaitingToStartCds => InitStage::Done,
                InitStage::WaitingForCds
                    if self.cds_answered
                        && self.primary.is_empty()
                        && self.secondary.is_empty() =>
                {
                    InitStage::Done
                }
                _ => break,
            };
            self.stage = next;
        }
        before != self.stage && self.stage == InitStage::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_then_secondary_then_cds() {
        let mut init = Init::default();
        let (dns, eds) = (ClusterId(0), ClusterId(1));
        init.add(dns, InitPhase::Primary);
        init.add(eds, InitPhase::Secondary);
        assert!(!init.advance());
        assert_eq!(init.stage(), InitStage::Loading);
        init.static_clusters_loaded(true);
        assert!(!init.advance());
        assert_eq!(init.stage(), InitStage::WaitingForPrimary);
        init.remove(dns);
        assert!(!init.advance());
        assert_eq!(init.stage(), InitStage::WaitingForSecondary);
        init.remove(eds);
        assert!(!init.advance());
        assert_eq!(init.stage(), InitStage::WaitingForCds);
        init.add(dns, InitPhase::Primary);
        init.cds_answered();
        assert!(!init.advance());
        init.remove(dns);
        assert!(init.advance(), "only the step to the end says so");
        assert!(!init.advance());
        init.add(eds, InitPhase::Primary);
        assert!(
            !init.advance(),
            "later clusters warm without holding the server up"
        );
    }

    #[test]
    fn without_waiting_everything_is_done_at_once() {
        let mut init = Init::default();
        init.static_clusters_loaded(false);
        assert!(init.advance());
        assert_eq!(init.stage(), InitStage::Done);
    }
}
