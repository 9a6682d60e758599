mod protobuf;

use std::process::{Command, Stdio};

use spantally_stitch::{JobId, SpanId, TraceId};

use super::super::accept::{Escaping, Format};
use super::super::inventory::{INVENTORY, MetricId};
use super::super::labels::{CommonLabels, LabelSets};
use super::super::pages::Pages;
use super::super::series::Registry;
use super::*;

const START: UnixNanos = UnixNanos(1_795_168_800_500_000_000);
const OPENMETRICS: Format = Format::OpenMetrics(Escaping::Unnamed);

fn process() -> Vec<ProcessMetric> {
    let metric = |name: &str, is_counter, value| ProcessMetric {
        name: name.to_owned(),
        help: "From the system.".to_owned(),
        is_counter,
        value,
    };
    vec![metric("process_cpu_seconds", true, 1.5), metric("process_open_fds", false, 9.0)]
}

fn page(format: Format, registry: &Registry) -> String {
    String::from_utf8(Pages::of(registry).write(format, &process()).to_vec()).unwrap()
}

/// A counter with a twin, a gauge without labels, a histogram with an exemplar, and a label that must be
/// escaped.
fn small() -> Registry {
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    let set = registry.intern(&CommonLabels {
        provider: "fal",
        model: "a\\b\"c\nd",
        operation: "",
        service: "clips",
        tenant: "",
        extra: &[],
    });
    let bound = registry.series(MetricId::CostBound, set, &["USD", "max"], START);
    registry.add(bound, "12.50".parse().unwrap());
    registry.add(bound, "-0.25".parse().unwrap());
    let limit = registry.series(MetricId::LabelSetsLimit, super::super::SetId::NONE, &[], START);
    registry.set(limit, Decimal::from(9));
    let attempts = registry.series(MetricId::JobAttempts, set, &["succeeded"], START);
    let exemplar = Exemplar {
        trace_id: TraceId([0xab; 16]),
        span_id: SpanId([0xcd; 8]),
        job_id: JobId([0x5c; 16]),
        value: Decimal::TWO,
        at: UnixNanos(1_795_168_812_345_678_901),
    };
    registry.observe(attempts, Decimal::TWO, Some(exemplar));
    registry.observe(attempts, Decimal::from(40), None);
    registry
}

/// Every metric of the inventory, with a value.
fn full() -> Registry {
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    let set = registry.intern(&CommonLabels {
        provider: "fal",
        model: "flux",
        operation: "text_to_image",
        service: "clips",
        tenant: "",
        extra: &[],
    });
    for metric in INVENTORY {
        let own: Vec<&str> =
            metric.labels.iter().map(|label| label.known.map_or("x", |known| known()[0])).collect();
        let set = if metric.common { set } else { super::super::SetId::NONE };
        let series = registry.series(metric.id, set, &own, START);
        match metric.kind {
            Kind::Histogram(_) => registry.observe(series, Decimal::ONE, None),
            Kind::Counter | Kind::Gauge => registry.set(series, Decimal::ONE),
        }
    }
    registry
}

#[test]
fn the_prometheus_page_is_golden() {
    insta::assert_snapshot!(page(Format::Text, &small()));
}

#[test]
fn the_openmetrics_page_is_golden() {
    insta::assert_snapshot!(page(OPENMETRICS, &small()));
}

#[test]
fn the_first_page_of_a_model_shows_its_known_series_at_zero() {
    let page = page(Format::Text, &full());
    let common = r#"provider="fal",model="flux",operation="text_to_image",service="clips",tenant="""#;
    let own = r#"currency="x",cause="retry",basis="documented""#;
    assert!(page.contains(&format!("\nspantally_cost_total{{{common},{own}}} 0\n")), "{page}");
}

/// `promtool` is Debian's prometheus package; without it this test fails, because nothing else would find a
/// bad name.
#[test]
fn promtool_has_nothing_to_say() {
    let mut registry = full();
    registry.clear(MetricId::RetryCostRatio);
    let process = super::super::process::process_metrics();
    let out = Pages::of(&registry).write(Format::Text, &process).to_vec();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool must be installed: apt-get install prometheus");
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), &out).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// What OpenMetrics asks of a page as a whole, checked line by line.
#[test]
fn the_openmetrics_page_keeps_the_rules() {
    let page = page(OPENMETRICS, &full());
    assert!(page.ends_with("# EOF\n"));
    assert_eq!(page.matches("# EOF").count(), 1);
    let mut family = ("", "");
    let mut seen = std::collections::BTreeSet::new();
    for line in page.lines().filter(|line| !line.starts_with("# HELP") && *line != "# EOF") {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            family = head.split_once(' ').unwrap();
            assert!(seen.insert(family.0), "{} comes twice", family.0);
            assert!(!family.0.ends_with("_total"));
            continue;
        }
        if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').unwrap();
            assert!(name == family.0 && name.ends_with(unit), "{line}");
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap();
        let allowed: &[&str] = match family.1 {
            "counter" => &["_total", "_created"],
            "histogram" => &["_bucket", "_sum", "_count", "_created"],
            _ => &[""],
        };
        let suffix = name.strip_prefix(family.0).unwrap_or_else(|| panic!("{line} is not of {}", family.0));
        assert!(allowed.contains(&suffix), "{line}");
    }
}

/// Past the limit of label sets a series says so in place of its labels, in every format.
#[test]
fn the_overflow_series_is_on_every_page() {
    let mut registry = Registry::new(LabelSets::new(1, &[]));
    for model in ["first", "second", "third"] {
        let set = registry.intern(&CommonLabels {
            provider: "fal",
            model,
            operation: "",
            service: "clips",
            tenant: "",
            extra: &[],
        });
        let bound = registry.series(MetricId::CostBound, set, &["USD", "max"], START);
        registry.add(bound, "0.1".parse().unwrap());
    }
    insta::assert_snapshot!(page(OPENMETRICS, &registry));
    let line = r#"spantally_cost_bound_total{otel_metric_overflow="true",currency="USD",bound="max"} 0.2"#;
    assert!(page(Format::Text, &registry).lines().any(|found| found == line));
    let pages = Pages::of(&registry).write(Format::Protobuf(Escaping::Unnamed), &[]).to_vec();
    let name = b"\x0a\x14otel_metric_overflow\x12\x04true";
    assert!(memchr::memmem::find(&pages, name).is_some());
}
