use nuncio_config::api::cluster::{
    CircuitBreakers, circuit_breakers::Thresholds, cluster::DiscoveryType,
};

use super::*;
use crate::lb::LbContext;
use crate::manager::Origin;
use crate::testing::{NO_CLUSTERS, cluster, endpoint, manager, run_paused};

#[test]
fn each_report_holds_what_is_new() {
    run_paused(async {
        let manager = manager();
        let mut stats = LoadStats::default();
        let mut x = cluster(
            "x",
            DiscoveryType::Static,
            vec![endpoint("127.0.0.1", 1), endpoint("127.0.0.1", 2)],
        );
        x.lrs_report_endpoint_metrics = vec!["named_metrics.*".into()];
        manager.initialize([(0, x.clone())], false).unwrap();
        assert!(stats.take(&manager, "y").is_none());
        let hosts = manager.hosts("x").unwrap();
        let clusters = manager.on_this_thread();
        let worker = clusters.find("x").unwrap();
        assert!(worker.wants_load_reports());
        for host in hosts.hosts() {
            let counts = host.stats();
            counts.rq_total.fetch_add(3, Relaxed);
            counts.rq_success.fetch_add(1, Relaxed);
            counts.rq_error.fetch_add(1, Relaxed);
            counts.rq_active.fetch_add(1, Relaxed);
        }
        let headers = [("endpoint-load-metrics", "TEXT named_metrics.q=2.5,eps=1")];
        for _ in 0..2 {
            let host = worker.choose_host(&LbContext::default()).unwrap().host;
            let headers = headers.into_iter().collect();
            assert!(worker.on_load_report(&host, &headers, Instant::now()));
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        let load = stats.take(&manager, "x").unwrap();
        assert_eq!(load.interval, Duration::from_secs(5));
        let [zone] = &*load.localities else {
            panic!("{load:?}")
        };
        assert_eq!(&*zone.locality.zone, "z");
        let all = &zone.total;
        let counts = (all.issued, all.succeeded, all.failed, all.active);
        assert_eq!(counts, (6, 2, 2, 2));
        let metrics: Vec<_> = all.metrics.iter().collect();
        assert_eq!(metrics, [(&"named_metrics.q".into(), &(2, 5.0))]);
        let mut sum = Load::default();
        for (host, load) in &zone.endpoints {
            assert!(hosts.hosts().any(|it| Arc::ptr_eq(it, host)));
            assert_eq!((load.issued, load.active), (3, 1));
            sum.add(load);
        }
        assert_eq!((zone.endpoints.len(), &sum), (2, all));
        assert_eq!((load.total_dropped, load.service_name), (0, None));

        // Nothing new but what is still in flight.
        let load = stats.take(&manager, "x").unwrap();
        let zone = &load.localities[0].total;
        assert_eq!((zone.issued, zone.failed, zone.active), (0, 0, 2));
        assert!(zone.metrics.is_empty());
    });
}

#[test]
fn what_hosts_did_before_they_went_is_reported() {
    run_paused(async {
        let manager = manager();
        let mut stats = LoadStats::default();
        let of = |ports: &[u16]| {
            let endpoints = ports.iter().map(|port| endpoint("127.0.0.1", *port));
            cluster("x", DiscoveryType::Static, endpoints.collect())
        };
        let api = Origin::Api { version_info: "" };
        manager.initialize(NO_CLUSTERS, false).unwrap();
        manager.add_or_update_cluster(of(&[1, 2]), api).unwrap();
        stats.take(&manager, "x").unwrap();
        let hosts = manager.hosts("x").unwrap();
        for host in hosts.hosts() {
            host.stats().rq_total.fetch_add(1, Relaxed);
        }
        manager.add_or_update_cluster(of(&[1]), api).unwrap();
        let load = stats.take(&manager, "x").unwrap();
        assert_eq!(load.localities[0].total.issued, 2);
        assert_eq!(load.localities[0].endpoints.len(), 2);
        assert!(stats.take(&manager, "x").unwrap().localities.is_empty());
    });
}

#[test]
fn what_was_before_is_not_reported_and_refused_requests_are() {
    run_paused(async {
        let manager = manager();
        let mut stats = LoadStats::default();
        let mut x = cluster("x", DiscoveryType::Static, vec![endpoint("127.0.0.1", 1)]);
        manager.initialize(NO_CLUSTERS, false).unwrap();
        let api = Origin::Api { version_info: "" };
        manager.add_or_update_cluster(x.clone(), api).unwrap();
        let worker = manager.on_this_thread().find("x").unwrap();
        let host = manager.hosts("x").unwrap().hosts().next().unwrap().clone();
        host.stats().rq_total.fetch_add(5, Relaxed);
        worker.on_dropped();
        stats.begin(&manager, "x");
        worker.on_dropped();
        host.stats().rq_total.fetch_add(2, Relaxed);
        let load = stats.take(&manager, "x").unwrap();
        assert_eq!(
            (load.total_dropped, load.localities[0].total.issued),
            (1, 2)
        );
        // Other breakers belong to the cluster now; nothing is lost, and nothing told twice.
        worker.on_dropped();
        x.circuit_breakers = Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                track_remaining: true,
                ..Thresholds::default()
            }],
            ..CircuitBreakers::default()
        });
        manager.add_or_update_cluster(x, api).unwrap();
        manager.on_this_thread().find("x").unwrap().on_dropped();
        let load = stats.take(&manager, "x").unwrap();
        assert_eq!((load.total_dropped, load.localities.len()), (2, 0));
        assert_eq!(stats.take(&manager, "x").unwrap().total_dropped, 0);
        stats.end("x");
        assert_eq!(stats.take(&manager, "x").unwrap().total_dropped, 1, "anew");
    });
}
