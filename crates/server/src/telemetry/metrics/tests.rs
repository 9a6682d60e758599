//! Pages that are pushed to a backend, by a real exporter over a real socket.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_otlp::{MetricExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data, number_data_point::Value};
use prost::Message;

use super::super::transport::Transport;
use super::*;
use crate::forward::testing::Destination;

/// A backend, and what pushes to it.
struct Place {
    backend: Destination,
    pusher: Arc<Pusher>,
}

impl Place {
    async fn new(answer: u16, page: Page) -> Self {
        let backend = Destination::start(move |_| answer).await;
        let transport = Transport::new(&|_| None, Duration::from_secs(20)).unwrap();
        let url = format!("http://{}/v1/metrics", backend.address);
        let exporter = MetricExporter::builder().with_http().with_http_client(transport);
        let exporter = exporter.with_endpoint(url).build().unwrap();
        let pusher = Arc::new(Pusher::new(exporter, Resource::builder_empty().build(), page));
        Self { backend, pusher }
    }

    async fn push(&self) -> bool {
        let pusher = self.pusher.clone();
        tokio::task::spawn_blocking(move || pusher.push()).await.unwrap()
    }

    /// Every point that came, by name and labels, with the bytes of the largest request.
    fn came(&self) -> (BTreeMap<(String, String), f64>, usize) {
        let (mut points, mut largest) = (BTreeMap::new(), 0);
        for got in self.backend.got() {
            largest = largest.max(got.body.len());
            let request = ExportMetricsServiceRequest::decode(got.body).unwrap();
            let scopes = request.resource_metrics.into_iter().flat_map(|one| one.scope_metrics);
            for metric in scopes.flat_map(|scope| scope.metrics) {
                let found = match metric.data.unwrap() {
                    Data::Sum(sum) => sum.data_points,
                    Data::Gauge(gauge) => gauge.data_points,
                    other => panic!("{other:?}"),
                };
                for point in found {
                    let Some(Value::AsDouble(value)) = point.value else { panic!("{point:?}") };
                    let before = points.insert((metric.name.clone(), labels(point)), value);
                    assert_eq!(before, None, "a point came twice");
                }
            }
        }
        (points, largest)
    }
}

fn labels(point: NumberDataPoint) -> String {
    let mut labels: Vec<_> = point.attributes.into_iter().map(|label| format!("{label:?}")).collect();
    labels.sort();
    labels.concat()
}

/// Shows nothing the first time, so that all of the text was counted in this process.
fn new_page(text: String) -> Page {
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let text = Bytes::from(text);
    Box::new(move || if is_first.swap(false, Ordering::Relaxed) { Bytes::new() } else { text.clone() })
}

/// As many label sets as there may be by default: some 20 MB as one request, which no backend takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_many_label_sets_arrives_in_requests_that_a_backend_takes() {
    const SETS: usize = 2_000;
    const CAUSES: usize = 12;
    let (mut text, long) = (String::new(), "x".repeat(200));
    for set in 0..SETS {
        let own = format!("provider=\"p\",model=\"m{set}\",operation=\"{long}\",service=\"{long}\"");
        for cause in 0..CAUSES {
            writeln!(text, "spantally_cost_total{{{own},cause=\"c{cause}\"}} 0.5").unwrap();
            writeln!(text, "spantally_billed_units_total{{{own},cause=\"c{cause}\"}} 0").unwrap();
        }
        writeln!(text, "spantally_open_jobs{{{own}}} 2").unwrap();
        writeln!(text, "spantally_job_duration_seconds_count{{{own}}} 3").unwrap();
    }
    writeln!(text, "not_ours_total 3").unwrap();
    let place = Place::new(200, new_page(text)).await;
    assert!(place.push().await);
    let (points, largest) = place.came();
    let of = |name: &str| {
        let values = points.iter().filter(|((of, _), _)| of == name).map(|(_, value)| *value);
        values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value))
    };
    assert_eq!(of("spantally_cost"), (SETS * CAUSES, 12_000.0));
    assert_eq!(of("spantally_open_jobs"), (SETS, 4_000.0));
    assert_eq!(of("spantally_job_duration_seconds_count"), (SETS, 6_000.0));
    assert_eq!(points.len(), SETS * (CAUSES + 2), "what never counted, or is not ours, is not pushed");
    assert!(largest < PART_BYTES * 5 / 4, "{largest} bytes");
    assert!(place.backend.got().len() >= 10, "{} requests", place.backend.got().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_before_the_process_is_not_pushed() {
    let count = Arc::new(AtomicU64::new(40));
    let shown = count.clone();
    let text = move || {
        let count = shown.load(Ordering::Relaxed);
        format!(
            "spantally_spans_ignored_total 40\nspantally_spans_ignored_total{{x=\"1\"}} {count}\n\
             spantally_open_jobs{{x=\"1\"}} {count}\nspantally_open_jobs 0\n"
        )
    };
    let place = Place::new(200, Box::new(move || text().into())).await;
    let last = || {
        let points = place.came().0;
        let named = points.into_iter().map(|((name, labels), value)| (name, labels.is_empty(), value));
        named.collect::<Vec<_>>()
    };
    let gauge = "spantally_open_jobs".to_owned();
    count.store(42, Ordering::Relaxed);
    assert!(place.push().await);
    let counter = ("spantally_spans_ignored".to_owned(), false, 2.0);
    assert_eq!(last(), [(gauge.clone(), true, 0.0), (gauge, false, 42.0), counter]);
}

/// Of a page whose parts are refused one after the other the rest waits for the next time.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_refuses_is_not_sent_every_part() {
    let mut text = String::new();
    for set in 0..5 * PART_POINTS {
        writeln!(text, "spantally_open_jobs{{model=\"m{set}\"}} 2").unwrap();
    }
    let place = Place::new(400, new_page(text)).await;
    assert!(!place.push().await);
    assert_eq!(place.backend.got().len(), FAILURES_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_pushed_at_the_end() {
    let backend = Destination::start(|_| 200).await;
    let transport = Transport::new(&|_| None, Duration::from_secs(20)).unwrap();
    let url = format!("http://{}/v1/metrics", backend.address);
    let exporter = MetricExporter::builder().with_http().with_http_client(transport);
    let exporter = exporter.with_endpoint(url).build().unwrap();
    let page = new_page("spantally_open_jobs 2\n".to_owned());
    let resource = Resource::builder_empty().build();
    let pushing = Pushing::start(exporter, resource, Duration::from_hours(1), page);
    let shutdown = tokio::task::spawn_blocking(move || pushing.shutdown(Duration::from_secs(20)));
    shutdown.await.unwrap().unwrap();
    assert_eq!(backend.got().len(), 1);
}
