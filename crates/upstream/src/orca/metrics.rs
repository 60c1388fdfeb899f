//! Metrics of reports by name, as configurations list them (`named_metrics.queue`, `utilization.*`, `cpu_utilization`),
//! and sums of them (Envoy's `orca_load_metrics`, `LoadMetricStats`).

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::OrcaReport;

/// Names of metrics. A name that no report can have is kept out: it would never say anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricNames(Box<[MetricName]>);

#[derive(Clone, Debug, PartialEq)]
struct MetricName {
    text: Box<str>,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Cpu,
    Memory,
    Application,
    Errors,
    Rate,
    /// A map, whose name with the dot has so many bytes.
    NamedMetrics(usize),
    Utilization(usize),
    RequestCost(usize),
}

type MakePart = fn(usize) -> Part;

/// The maps of a report.
const MAPS: [(&str, MakePart); 3] = [
    ("named_metrics.", Part::NamedMetrics),
    ("utilization.", Part::Utilization),
    ("request_cost.", Part::RequestCost),
];

impl MetricNames {
    /// These names.
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let compile = |name: &str| {
            let part = match name {
                "cpu_utilization" => Part::Cpu,
                "mem_utilization" => Part::Memory,
                "application_utilization" => Part::Application,
                "eps" => Part::Errors,
                "rps_fractional" => Part::Rate,
                name => MAPS
                    .iter()
                    .find(|(prefix, _)| name.starts_with(prefix))
                    .map(|(prefix, part)| part(prefix.len()))?,
            };
            Some(MetricName {
                text: name.into(),
                part,
            })
        };
        let names = names.into_iter();
        Self(names.filter_map(|name| compile(name.as_ref())).collect())
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls `found` with each metric of `report` that has one of the names: the part of its name before the key, the key
    /// (empty for what is no map), the value.
    pub(crate) fn each(&self, report: &OrcaReport, mut found: impl FnMut(&str, &str, f64)) {
        for MetricName { text, part } in &self.0 {
            let (map, prefix): (&HashMap<String, f64>, usize) = match part {
                Part::Cpu => {
                    found(text, "", report.cpu_utilization);
                    continue;
                }
                Part::Memory => {
                    found(text, "", report.mem_utilization);
                    continue;
                }
                Part::Application => {
                    found(text, "", report.application_utilization);
                    continue;
                }
                Part::Errors => {
                    found(text, "", report.eps);
                    continue;
                }
                Part::Rate => {
                    found(text, "", report.rps_fractional);
                    continue;
                }
                Part::NamedMetrics(prefix) => (&report.named_metrics, *prefix),
                Part::Utilization(prefix) => (&report.utilization, *prefix),
                Part::RequestCost(prefix) => (&report.request_cost, *prefix),
            };
            let (prefix, key) = text.split_at(prefix);
            if key == "*" {
                map.iter()
                    .for_each(|(key, value)| found(prefix, key, *value));
            } else if let Some(value) = map.get(key) {
                found(prefix, key, *value);
            }
        }
    }

    /// The greatest of these metrics; 0 when there is none (Envoy's `getMaxUtilization`).
    pub(crate) fn greatest(&self, report: &OrcaReport) -> f64 {
        let mut greatest = 0.0;
        self.each(report, |_, _, value| greatest = f64::max(greatest, value));
        greatest
    }

    /// How busy the endpoint is: the greatest of these metrics, else what the application says, else the CPU (as Envoy
    /// since 1.38).
    pub(crate) fn utilization(&self, report: &OrcaReport) -> f64 {
        [self.greatest(report), report.application_utilization]
            .into_iter()
            .find(|utilization| *utilization > 0.0)
            .unwrap_or(report.cpu_utilization)
    }
}

/// So many different metrics of a cluster are summed up; others are not. Names come from the network.
const MAX_METRICS: usize = if cfg!(test) { 4 } else { 64 };

/// Which metrics of a cluster's hosts are summed up (`lrs_report_endpoint_metrics`).
#[derive(Debug)]
pub(crate) struct ReportedMetrics {
    wanted: MetricNames,
    /// The names that hosts have sent, in the order in which they came; workers add to it without a lock.
    names: Box<[OnceLock<Box<str>>]>,
}

impl ReportedMetrics {
    /// `None` when nothing is wanted.
    pub(crate) fn new(wanted: MetricNames) -> Option<Box<Self>> {
        let names = || (0..MAX_METRICS).map(|_| OnceLock::new()).collect();
        (!wanted.is_empty()).then(|| {
            Box::new(Self {
                wanted,
                names: names(),
            })
        })
    }

    /// The number of a name; `None` when there are too many.
    fn number(&self, prefix: &str, key: &str) -> Option<usize> {
        let is_it = |name: &str| name.strip_prefix(prefix) == Some(key);
        self.names
            .iter()
            .position(|place| is_it(place.get_or_init(|| [prefix, key].concat().into())))
    }

    /// Adds what is wanted of `report` to `sums`, those of one host.
    pub(crate) fn add(&self, report: &OrcaReport, sums: &MetricSums) {
        self.wanted.each(report, |prefix, key, value| {
            if let Some(number) = self.number(prefix, key) {
                sums.0[number].add(value);
            }
        });
    }

    /// Takes the sums out of `sums`, and tells them.
    pub(crate) fn take(&self, sums: &MetricSums, mut found: impl FnMut(&str, u64, f64)) {
        for (name, sum) in self.names.iter().zip(&sums.0) {
            let Some(name) = name.get() else { break };
            let (count, total) = sum.take();
            if count > 0 {
                found(name, count, total);
            }
        }
    }
}

/// Sums of one host's metrics, by number.
#[derive(Debug)]
pub(crate) struct MetricSums(Box<[MetricSum]>);

impl Default for MetricSums {
    fn default() -> Self {
        Self((0..MAX_METRICS).map(|_| MetricSum::default()).collect())
    }
}

#[derive(Debug, Default)]
struct MetricSum {
    count: AtomicU64,
    /// The bits of an `f64`.
    total: AtomicU64,
}

impl MetricSum {
    fn add(&self, value: f64) {
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // It cannot fail: the closure always gives a value.
        let _ = self.total.fetch_update(Relaxed, Relaxed, add);
        self.count.fetch_add(1, Relaxed);
    }

    /// A report that comes just now may be counted now and summed up the next time.
    fn take(&self) -> (u64, f64) {
        let count = self.count.swap(0, Relaxed);
        (count, f64::from_bits(self.total.swap(0, Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> OrcaReport {
        OrcaReport {
            cpu_utilization: 0.2,
            application_utilization: 0.3,
            named_metrics: [("a".to_owned(), 0.4), ("b".to_owned(), 0.6)].into(),
            ..OrcaReport::default()
        }
    }

    #[test]
    fn utilization_is_what_was_asked_for_then_the_application_then_the_cpu() {
        let of = |names: &[&str], report: &OrcaReport| MetricNames::new(names).utilization(report);
        assert_eq!(of(&["named_metrics.a", "nonsense"], &report()), 0.4);
        assert_eq!(of(&["named_metrics.*"], &report()), 0.6);
        assert_eq!(of(&["named_metrics.c"], &report()), 0.3);
        let mut plain = report();
        plain.application_utilization = 0.0;
        assert_eq!(of(&[], &plain), 0.2);
    }

    #[test]
    fn metrics_are_summed_up_by_name() {
        let names = MetricNames::new(["named_metrics.*", "cpu_utilization"]);
        let (table, sums) = (ReportedMetrics::new(names).unwrap(), MetricSums::default());
        table.add(&report(), &sums);
        table.add(&report(), &sums);
        let take = || {
            let mut all = Vec::new();
            table.take(&sums, |name, count, total| {
                all.push((name.to_owned(), count, total))
            });
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        };
        let expected = [
            ("cpu_utilization", 2, 0.4),
            ("named_metrics.a", 2, 0.8),
            ("named_metrics.b", 2, 1.2),
        ];
        assert_eq!(
            take(),
            expected.map(|(name, count, total)| (name.to_owned(), count, total))
        );
        assert_eq!(take(), []);
    }

    #[test]
    fn there_is_a_limit_of_names() {
        let names = MetricNames::new(["named_metrics.*"]);
        let (table, sums) = (ReportedMetrics::new(names).unwrap(), MetricSums::default());
        for n in 0..10 {
            let mut report = OrcaReport::default();
            report.named_metrics.insert(n.to_string(), 1.0);
            table.add(&report, &sums);
        }
        let mut taken = 0;
        table.take(&sums, |_, _, _| taken += 1);
        assert_eq!(taken, 4);
    }
}
