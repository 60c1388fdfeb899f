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
    /// Primary ones are ready; secondary ones start when what must come before them is there.
    WaitingToStartSecondary,
    /// Secondary ones are not all ready.
    WaitingForSecondary,
    /// CDS has begun; it has not answered yet, or what its first answer adds is not all ready.
    WaitingForCds,
    /// Everything is up.
    Done,
}

/// What is to be done when a stage is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// ADS may be asked.
    StartAds,
    /// Primary clusters are ready: whoever wants something to come before the others is told.
    TellPrimaryReady,
    /// Secondary clusters ask for their endpoints.
    StartSecondary,
    /// CDS may be asked.
    StartCds,
    /// Everything is up.
    Finish,
}

/// What start-up goes through.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// There is a CDS to be waited for.
    pub(super) cds: bool,
    /// Secondary clusters wait for [`Init::start_secondary`].
    pub(super) asks_before_secondary: bool,
    /// There is an ADS, which is asked as soon as one of these is ready; at once if there are none.
    pub(super) ads: Option<Vec<ClusterId>>,
}

/// The state machine: it knows only who is not ready yet.
#[derive(Debug, Default)]
pub(super) struct Init {
    stage: InitStage,
    primary: HashSet<ClusterId>,
    secondary: HashSet<ClusterId>,
    plan: Plan,
    /// Secondary clusters ask for their endpoints as soon as they are added.
    secondary_has_started: bool,
    /// The first answer of CDS was applied.
    cds_answered: bool,
}

impl Init {
    pub(super) fn stage(&self) -> InitStage {
        self.stage
    }

    /// Whether a secondary cluster need not wait for others before it asks for its endpoints.
    pub(super) fn secondary_has_started(&self) -> bool {
        self.secondary_has_started || self.stage == InitStage::Done
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
    pub(super) fn static_clusters_loaded(&mut self, plan: Plan) {
        if self.stage == InitStage::Loading {
            self.plan = plan;
            self.stage = InitStage::WaitingForPrimary;
        }
    }

    /// What secondary clusters had to wait for is there.
    pub(super) fn start_secondary(&mut self) {
        self.plan.asks_before_secondary = false;
    }

    /// The first answer of CDS was applied, or its time is over.
    pub(super) fn cds_answered(&mut self) {
        self.cds_answered = true;
    }

    /// Goes on up to the next thing that is to be done, which is told once; `None`: somebody must be ready first.
    pub(super) fn advance(&mut self) -> Option<Step> {
        if self.stage != InitStage::Loading
            && let Some(carriers) = &self.plan.ads
            && (carriers.is_empty() || carriers.iter().any(|id| !self.primary.contains(id)))
        {
            self.plan.ads = None;
            return Some(Step::StartAds);
        }
        let (next, step) = match self.stage {
            InitStage::WaitingForPrimary if self.primary.is_empty() => {
                (InitStage::WaitingToStartSecondary, Step::TellPrimaryReady)
            }
            InitStage::WaitingToStartSecondary if !self.plan.asks_before_secondary => {
                self.secondary_has_started = true;
                (InitStage::WaitingForSecondary, Step::StartSecondary)
            }
            InitStage::WaitingForSecondary if self.secondary.is_empty() => {
                // Those that CDS adds begin together, when its primary ones are ready.
                self.secondary_has_started = false;
                match self.plan.cds {
                    true => (InitStage::WaitingForCds, Step::StartCds),
                    false => (InitStage::Done, Step::Finish),
                }
            }
            InitStage::WaitingForCds if self.cds_answered && self.primary.is_empty() => {
                if self.secondary.is_empty() {
                    (InitStage::Done, Step::Finish)
                } else if !self.secondary_has_started {
                    self.secondary_has_started = true;
                    (InitStage::WaitingForCds, Step::StartSecondary)
                } else {
                    return None;
                }
            }
            _ => return None,
        };
        self.stage = next;
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is to be done before somebody must be ready.
    fn steps(init: &mut Init) -> Vec<Step> {
        std::iter::from_fn(|| init.advance()).collect()
    }

    const DNS: ClusterId = ClusterId(0);
    const EDS: ClusterId = ClusterId(1);

    #[test]
    fn primary_then_secondary_then_cds() {
        let mut init = Init::default();
        init.add(DNS, InitPhase::Primary);
        init.add(EDS, InitPhase::Secondary);
        assert_eq!(steps(&mut init), []);
        assert_eq!(init.stage(), InitStage::Loading);
        init.static_clusters_loaded(Plan {
            cds: true,
            ..Plan::default()
        });
        assert_eq!(steps(&mut init), []);
        assert_eq!(init.stage(), InitStage::WaitingForPrimary);
        init.remove(DNS);
        assert_eq!(
            steps(&mut init),
            [Step::TellPrimaryReady, Step::StartSecondary]
        );
        assert_eq!(init.stage(), InitStage::WaitingForSecondary);
        assert!(init.secondary_has_started());
        init.remove(EDS);
        assert_eq!(steps(&mut init), [Step::StartCds]);
        assert_eq!(init.stage(), InitStage::WaitingForCds);
        init.add(DNS, InitPhase::Primary);
        init.add(EDS, InitPhase::Secondary);
        init.cds_answered();
        assert!(!init.secondary_has_started(), "primary ones come first");
        assert_eq!(steps(&mut init), []);
        init.remove(DNS);
        assert_eq!(steps(&mut init), [Step::StartSecondary]);
        init.remove(EDS);
        assert_eq!(steps(&mut init), [Step::Finish]);
        assert_eq!(init.stage(), InitStage::Done);
        init.add(EDS, InitPhase::Primary);
        assert_eq!(
            steps(&mut init),
            [],
            "later clusters warm without holding the server up"
        );
        assert!(init.secondary_has_started());
    }

    #[test]
    fn without_waiting_everything_is_done_at_once() {
        let mut init = Init::default();
        init.static_clusters_loaded(Plan::default());
        assert_eq!(
            steps(&mut init),
            [Step::TellPrimaryReady, Step::StartSecondary, Step::Finish]
        );
        assert_eq!(init.stage(), InitStage::Done);
    }

    #[test]
    fn ads_begins_when_one_of_its_clusters_is_ready() {
        let other = ClusterId(7);
        let mut init = Init::default();
        for id in [DNS, EDS, other] {
            init.add(id, InitPhase::Primary);
        }
        let plan = |carriers: &[ClusterId]| Plan {
            cds: true,
            asks_before_secondary: true,
            ads: Some(carriers.to_vec()),
        };
        init.static_clusters_loaded(plan(&[DNS, other]));
        init.remove(EDS);
        assert_eq!(steps(&mut init), []);
        init.remove(other);
        assert_eq!(steps(&mut init), [Step::StartAds]);
        init.remove(DNS);
        assert_eq!(steps(&mut init), [Step::TellPrimaryReady]);
        assert_eq!(init.stage(), InitStage::WaitingToStartSecondary);
        init.start_secondary();
        assert_eq!(steps(&mut init), [Step::StartSecondary, Step::StartCds]);

        let mut init = Init::default();
        init.add(DNS, InitPhase::Primary);
        init.static_clusters_loaded(plan(&[]));
        assert_eq!(steps(&mut init), [Step::StartAds], "none of its own");
    }
}
