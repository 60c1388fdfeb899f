//! Random start-ups beside a model of Envoy's order.

use super::*;
use crate::testing::{below, seeded};

/// Start-ups of random clusters, whose answers come in random order: whatever comes when, the stages keep their order, and the
/// end is reached exactly when everybody was answered. `NUNCIO_SEED` chooses one run, which a failure names.
#[test]
fn start_up_ends_when_everybody_was_answered() {
    seeded(300, |random, seed| {
        run_paused(async move {
            let it = Fixture::new(&[]);
            let mut model = Model::default();
            let make = |name: String, model: &mut Model| match below(&random, 3) {
                0 => static_cluster(&name, &at(&[1])),
                1 => {
                    model.primary += 1;
                    dns(&name, "a.test")
                }
                _ => {
                    model.secondary.push(name.clone());
                    eds(&name, &name)
                }
            };
            let of_bootstrap: Vec<_> = (0..below(&random, 6))
                .map(|number| make(format!("s{number}"), &mut model))
                .collect();
            it.initialize(of_bootstrap);
            let mut by_cds = Vec::new();
            let mut rounds = 0;
            loop {
                let what = format!("seed {seed}, {model:?}");
                model.step();
                let log = it.source.taken();
                let asked = log.iter().filter(|line| line.starts_with("eds ")).count();
                model.asked += asked;
                let begun = model.may_ask();
                assert_eq!(model.asked, begun, "{what}: {log:?}");
                model.cds_asked |= log.iter().any(|line| line == "cds");
                assert_eq!(model.cds_asked, model.stage >= 3, "{what}: {log:?}");
                let done = it.manager.init_stage() == InitStage::Done;
                assert_eq!(done, model.stage == 5, "{what}");
                if done {
                    break;
                }
                // Something happens.
                match below(&random, 3) {
                    0 if model.primary > 0 => {
                        match below(&random, 2) {
                            0 => it.names.answer(&["10.0.0.1"]),
                            _ => it.names.fail(),
                        }
                        model.primary -= 1;
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    }
                    1 if model.asked > model.answered => {
                        let name = model.secondary[model.answered].clone();
                        model.answered += 1;
                        match below(&random, 2) {
                            0 => it.manager.assignment_failed(&name),
                            _ => {
                                let hosts = assignment(&name, 5);
                                it.manager.add_or_update_assignment(&name, hosts).unwrap();
                            }
                        }
                    }
                    2 if model.stage == 3 || model.stage == 4 && rounds < 3 => {
                        // Each answer adds some to those before.
                        for _ in 0..below(&random, 4) {
                            let name = format!("c{}", by_cds.len());
                            by_cds.push(make(name, &mut model));
                        }
                        rounds += 1;
                        model.cds_answered = true;
                        let applied = it.apply(&by_cds, "1");
                        assert_eq!(applied.errors, [], "{what}");
                    }
                    _ => {}
                }
            }
            assert!(it.source.live().len() <= model.secondary.len());
        });
    });
}

/// Envoy's order, told in another way: who was answered, and what may be next.
#[derive(Debug, Default)]
struct Model {
    /// Names that were not answered yet.
    primary: usize,
    /// All clusters that are discovered, in the order in which they ask.
    secondary: Vec<String>,
    asked: usize,
    answered: usize,
    cds_asked: bool,
    cds_answered: bool,
    /// Secondary ones that may ask: all there were when a stage was reached.
    begun: usize,
    /// 1: primary, 2: secondary, 3: CDS, 4: secondary of CDS, 5: the end.
    stage: u8,
}

impl Model {
    fn step(&mut self) {
        loop {
            let next = match self.stage {
                0 => 1,
                1 if self.primary == 0 => 2,
                2 if self.answered == self.secondary.len() => 3,
                3 if self.cds_answered && self.primary == 0 => 4,
                4 if self.primary == 0 && self.answered == self.secondary.len() => 5,
                _ => return,
            };
            self.stage = next;
        }
    }

    fn may_ask(&mut self) -> usize {
        if self.stage == 2 || self.stage >= 4 {
            self.begun = self.secondary.len();
        }
        self.begun
    }
}
