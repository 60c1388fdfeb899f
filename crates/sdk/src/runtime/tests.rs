use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nuncio_config::api::bootstrap::RuntimeLayer;
use nuncio_config::api::bootstrap::runtime_layer::{DiskLayer, LayerSpecifier};
use nuncio_config::api::protobuf::{Value, value::Kind};
use nuncio_config::yaml_value;
use nuncio_stats::Store;

use super::*;

fn fixed_layer(name: &str, yaml: &str) -> RuntimeLayer {
    let Value {
        kind: Some(Kind::StructValue(values)),
    } = yaml_value(yaml).unwrap()
    else {
        panic!("no mapping: {yaml}");
    };
    layer_of(name, LayerSpecifier::StaticLayer(values))
}

fn layer_of(name: &str, specifier: LayerSpecifier) -> RuntimeLayer {
    RuntimeLayer {
        name: name.into(),
        layer_specifier: Some(specifier),
    }
}

fn admin_layer() -> RuntimeLayer {
    layer_of("admin", LayerSpecifier::AdminLayer(Default::default()))
}

fn runtime(layers: Vec<RuntimeLayer>) -> Arc<Runtime> {
    Runtime::new(Some(LayeredRuntime { layers }), "own", &Store::new(1))
}

#[test]
fn later_layers_prevail_and_names_are_joined() {
    let runtime = runtime(vec![
        fixed_layer("base", "{a: {b: 5, c: x}, d: {numerator: 1}}"),
        fixed_layer("two", "{a.b: 7}"),
    ]);
    let snapshot = runtime.snapshot();
    assert_eq!(snapshot.integer("a.b"), Some(7));
    let entries: Vec<_> = snapshot.entries().collect();
    assert_eq!(
        entries,
        [
            ("a.b", vec!["5", "7"]),
            ("a.c", vec!["x", ""]),
            ("d", vec!["{numerator: 1}", ""])
        ]
    );
    assert!(snapshot.has_prefix("a.") && !snapshot.has_prefix("b"));
}

#[test]
fn handles_follow_what_operators_change() {
    let runtime = runtime(vec![fixed_layer("base", "{limit: 5}"), admin_layer()]);
    let limit = runtime.integer("limit", 1);
    let share = runtime.fraction(
        "share",
        Fraction {
            numerator: 0,
            denominator: 100,
        },
    );
    let flag = runtime.boolean("flag", true);
    let weight = runtime.double("weight", 0.5);
    assert_eq!((limit.get(), share.hit(0), flag.get()), (5, false, true));
    let changes = [
        ("limit", "6"),
        ("share", "{numerator: 1, denominator: MILLION}"),
        ("flag", "false"),
        ("weight", "2.5"),
    ];
    runtime.modify(changes.into_iter()).unwrap();
    assert_eq!((limit.get(), flag.get()), (6, false));
    assert!(share.hit(1_000_000) && !share.hit(1));
    assert!((weight.get() - 2.5).abs() < 1e-9);
    runtime.modify([("limit", "")].into_iter()).unwrap();
    assert_eq!(limit.get(), 5);
    // Not a number: the default of who asks.
    runtime.modify([("limit", "many")].into_iter()).unwrap();
    assert_eq!(limit.get(), 1);
    assert!(runtime.modify([("limit", "[")].into_iter()).is_err());
}

#[test]
fn what_nothing_would_follow_is_not_changed() {
    let runtime = runtime(vec![fixed_layer("base", "{a: 2.5, b: 7}"), admin_layer()]);
    assert!((runtime.pinned_double("a", 1.0) - 2.5).abs() < 1e-9);
    assert_eq!(runtime.pinned_integer("b", 1), 7);
    for key in ["a", "b", "tracing.random_sampling"] {
        let error = runtime.modify([(key, "3")].into_iter()).unwrap_err();
        assert!(error.contains("unsupported"), "{error}");
    }
    assert_eq!(runtime.snapshot().integer("b"), Some(7));
}

#[test]
fn without_a_layer_that_changes_a_key_costs_nothing() {
    let runtime = runtime(vec![fixed_layer("base", "{limit: 5}")]);
    assert!(runtime.watch("other").is_none());
    assert_eq!(runtime.integer("limit", 1).get(), 5);
    assert_eq!(
        runtime.modify([("a", "1")].into_iter()).unwrap_err(),
        "No admin layer specified"
    );
    assert_eq!(Runtime::default().integer("limit", 1).get(), 1);
}

#[test]
fn changes_are_told_and_keys_that_nobody_watches_are_forgotten() {
    let runtime = runtime(vec![admin_layer()]);
    let seen = Arc::new(AtomicU64::new(0));
    let sees = seen.clone();
    runtime.on_change(move |snapshot| sees.store(snapshot.integer("a").unwrap_or(99), Relaxed));
    assert_eq!(seen.load(Relaxed), 99);
    runtime.modify([("a", "3")].into_iter()).unwrap();
    assert_eq!(seen.load(Relaxed), 3);
    for number in 0..1000 {
        runtime.integer(&format!("key{number}"), 0);
    }
    assert!(runtime.state().watched.len() <= 65);
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_read_again_when_its_link_changes() {
    let place = std::env::temp_dir().join(format!("nuncio-runtime-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&place);
    for (version, value) in [("v1", "# why\n33\n"), ("v2", "34")] {
        let directory = place.join(version).join("envoy/x");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("y"), value).unwrap();
    }
    let link = place.join("current");
    std::os::unix::fs::symlink(place.join("v1"), &link).unwrap();
    let runtime = runtime(vec![layer_of(
        "disk",
        LayerSpecifier::DiskLayer(DiskLayer {
            symlink_root: link.to_str().unwrap().into(),
            subdirectory: "envoy".into(),
            append_service_cluster: false,
        }),
    )]);
    let value = runtime.integer("x.y", 0);
    assert_eq!(value.get(), 33);
    let watching = runtime.clone();
    let task = tokio::spawn(async move { watching.watch_links().await });
    tokio::task::yield_now().await;
    let next = place.join("next");
    std::os::unix::fs::symlink(place.join("v2"), &next).unwrap();
    std::fs::rename(&next, &link).unwrap();
    for _ in 0..100 {
        tokio::time::sleep(WATCH).await;
    }
    assert_eq!(value.get(), 34);
    task.abort();
    std::fs::remove_dir_all(&place).unwrap();
}
