//! The shipped file is the defaults; each kind of mistake has its message.

use std::path::Path;
use std::time::Duration;

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::error::Source;
use super::resolve::{known_keys, resolve};
use super::*;

const SHIPPED: &str = include_str!("../../../../config/spantally.yaml");

fn environment(name: &str) -> Option<String> {
    let variables =
        [("SPANTALLY_TEST_WORD", "four"), ("SPANTALLY_TEST_SECRET", "hush-from-environment\u{e9}")];
    variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

fn read(text: &str) -> Config {
    read_with(text, &[])
}

fn read_with(text: &str, set: &[&str]) -> Config {
    let set: Vec<_> = set.iter().map(|&pair| pair.to_owned()).collect();
    let source = Source::file(Path::new("test.yaml"), text.to_owned());
    resolve(&source, &set, &environment).map_err(|error| shown(&error)).unwrap()
}

fn shown(error: &ConfigError) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(110);
    handler.render_report(&mut text, error).unwrap();
    text
}

/// No key that `--set` has would do what was meant.
#[test]
fn what_only_a_file_can_say_is_not_taken_for_a_slip_of_the_pen() {
    for key in ["exporters.otlp/x.endpoint", "exporters.otlphttp.endpoint", "budgets[0].limit", "invoices"] {
        let set = [format!("{key}=a")];
        let error = shown(&resolve(&Source::none(), &set, &environment).unwrap_err());
        assert!(error.contains("only in a file") && error.contains("--config"), "{error}");
        assert!(!error.contains("did you mean"), "{error}");
    }
}

#[test]
fn the_shipped_file_is_the_defaults() {
    assert_eq!(read(SHIPPED).settings, Settings::default());
}

#[test]
fn the_shipped_file_names_every_field() {
    let config = read(SHIPPED);
    for key in known_keys() {
        let name = key.rsplit('.').next().unwrap();
        // What has no default to show stands there as a comment.
        if key == "providers.directory" || name.ends_with("_file") {
            assert!(SHIPPED.contains(&format!("# {name}: /etc/spantally/")), "{key}");
            continue;
        }
        assert!(matches!(config.place(key), Place::File { .. }), "config/spantally.yaml does not name {key}");
    }
}

#[test]
fn every_field_can_be_changed() {
    for key in known_keys() {
        // A `tls` section counts only as a whole, which a test of its own changes.
        if key.contains(".tls.") {
            continue;
        }
        let value = match key.rsplit('.').next().unwrap() {
            "max_age" if key.starts_with("storage.") => "77h",
            "max_size" if key.starts_with("storage.journal.") => "77777777",
            "endpoint" => "127.0.0.1:1",
            "max_recv_msg_size_mib" => "7",
            "max_concurrent_streams" | "max_label_sets" | "max_assignment" => "77",
            "max_request_body_size"
            | "max_spans"
            | "max_idle_frames"
            | "max_open_jobs"
            | "max_trace_tasks"
            | "max_task_spans"
            | "max_connections"
            | "max_tenants"
            | "max_age"
            | "max_size"
            | "rate_limit_bytes"
            | "burst_size_bytes"
            | "max_inflight_bytes" => "7777",
            "allowed_origins" => "https://one.example.com,*",
            "allowed_hosts" | "allowed_headers" | "exposed_headers" => "x-one,x-two",
            "ambiguous_probability" => "0.25",
            "native_histograms" | "requests_only" => "true",
            name if name.ends_with("attributes") || name == "labels" => "team,region",
            "traces_url_path" => "/otlp/v1/traces",
            "directory" => "/srv/elsewhere",
            "level" => "debug",
            "durability" => "relaxed",
            "encoding" => "json",
            _ => "77s",
        };
        let config = read_with("", &[&format!("{key}={value}")]);
        assert_ne!(config.settings, Settings::default(), "{key}={value} changes nothing");
        assert_eq!(config.place(key), Place::CommandLine);
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    for text in ["", "\n# nothing\n", "---\n", "receivers:\n", "receivers:\n  otlp:\n", "storage: {}\n"] {
        assert_eq!(read(text).settings, Settings::default(), "{text:?}");
    }
}

#[test]
fn only_the_listed_protocols_listen() {
    let protocols = |text: &str, set: &[&str]| {
        let receivers = read_with(text, set).settings.receivers;
        (receivers.grpc.is_some(), receivers.http.is_some())
    };
    let http_only = "receivers: {otlp: {protocols: {http: }}}";
    assert_eq!(protocols("", &[]), (true, true));
    assert_eq!(protocols(http_only, &[]), (false, true));
    assert_eq!(protocols("receivers: {otlp: {protocols: {grpc: {}}}}", &[]), (true, false));
    let with_grpc = ["receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0"];
    assert_eq!(protocols(http_only, &with_grpc), (true, true));
    assert_eq!(protocols("receivers: {otlp: {protocols: {}}}", &with_grpc), (true, false));
}

#[test]
fn a_value_knows_its_place() {
    let text = "exporters:\n  prometheus:\n    endpoint: ${env:NONE:-127.0.0.1:0}\n";
    let config = read(text);
    assert_eq!(config.settings.admin.endpoint.to_string(), "127.0.0.1:0");
    assert_eq!(config.place("exporters.prometheus.endpoint").to_string(), "test.yaml:3:15");
    assert_eq!(config.place("storage.directory"), Place::Default);
}

#[test]
fn webhook_paths_are_read() {
    let config =
        read("processors: {spantally: {correlation: {webhooks: [{provider: fal, path: '/hooks/{task}'}]}}}");
    let webhooks = config.settings.correlation.webhooks;
    assert_eq!(webhooks.len(), 1);
    assert_eq!((webhooks[0].provider.as_str(), webhooks[0].path.as_str()), ("fal", "/hooks/{task}"));
}

#[test]
fn budgets_and_accounts_are_read() {
    let config = read(
        "processors: {spantally: {labels: [team]}}\n\
         budgets: [{name: video, limit: 99.50, currency: USD, period: quarter, time_zone: Europe/Berlin, \
         scope: {team: clips}}]\n\
         prepaid: [{name: runway, unit: credit, balance: 12000, as_of: 2026-11-01, top_ups: [{amount: 5, \
         at: 2026-11-02T09:00:00+01:00, expires: 2027-11-02}]}]",
    );
    let budget = &config.settings.budgets[0];
    assert_eq!((budget.limit.to_string(), budget.period.as_str()), ("99.50".to_owned(), "quarter"));
    assert_eq!(budget.time_zone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(budget.scope.labels, [("team".to_owned(), "clips".to_owned())]);
    let account = &config.settings.prepaid[0];
    let seconds = |moment: spantally_stitch::UnixNanos| moment.0 / 1_000_000_000;
    assert_eq!((account.measure.name(), seconds(account.as_of)), ("credit", 1_793_491_200));
    assert_eq!(seconds(account.top_ups[0].at), 1_793_491_200 + 86_400 + 8 * 3600);
    assert_eq!(account.top_ups[0].expires.map(seconds), Some(1_825_113_600));
}

#[test]
fn a_label_that_a_page_has_already_is_refused_at_its_line() {
    for (names, place) in [
        ("[cause]", "3:14"),
        ("[team, service]", "3:20"),
        ("[currency]", "3:14"),
        ("[le]", "3:14"),
        ("[job]", "3:14"),
        ("[quantile]", "3:14"),
        ("[otel.metric.overflow]", "3:14"),
        ("[team.name, team_name]", "3:25"),
    ] {
        let text = format!("processors:\n  spantally:\n    labels: {names}\n");
        let source = Source::file(Path::new("test.yaml"), text);
        let error = resolve(&source, &[], &environment).unwrap_err().to_string();
        assert!(error.contains(&format!("test.yaml:{place}: processors.spantally.labels: ")), "{error}");
        let set = [format!("processors.spantally.labels={}", names.trim_matches(['[', ']']))];
        let error = resolve(&Source::none(), &set, &environment).unwrap_err().to_string();
        assert!(error.starts_with("--set processors.spantally.labels: `"), "{error}");
    }
    assert_eq!(
        read("processors: {spantally: {labels: [team, cause.of]}}").settings.correlation.labels.len(),
        2
    );
}

#[test]
fn a_list_of_the_command_line_is_written_as_in_the_file() {
    let labels = |written: &str| {
        let set = [format!("processors.spantally.labels={written}")];
        let config = resolve(&Source::none(), &set, &environment);
        config.map(|config| config.settings.correlation.labels).map_err(|error| shown(&error))
    };
    for written in ["[team, env]", "team,env", "team, env", "[\"team\", '${env:SPANTALLY_TEST_NONE:-env}']"] {
        assert_eq!(labels(written), Ok(vec!["team".to_owned(), "env".to_owned()]), "{written}");
    }
    assert_eq!(labels("[team]"), Ok(vec!["team".to_owned()]));
    assert_eq!(labels("[]"), Ok(Vec::new()));
    for (written, problem) in [
        ("[team", "`[team` is not a list"),
        ("team]", "`team]` is not valid"),
        ("[[team]]", "is not a list"),
        ("['a,b']", "`a,b` is not valid"),
        ("'team'", "`'team'` is not valid"),
        ("team, team", "`team` is listed twice"),
        ("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "17 names, expected at most 16"),
    ] {
        let error = labels(written).unwrap_err();
        assert!(error.contains("--set processors.spantally.labels: "), "{error}");
        assert!(error.contains(problem), "{error}");
    }
    let origins = "receivers.otlp.protocols.http.cors.allowed_origins=*";
    let http = read_with("", &[origins]).settings.receivers.http.unwrap();
    assert_eq!(http.cors.allowed_origins, ["*"]);
}

#[test]
fn invoices_are_read() {
    let config = read(
        "invoices: [{provider: fal, period: 2026-10, amount: 1204.17, currency: USD, time_zone: \
         America/New_York}, {provider: fal, period: 2026-10-01/2026-10-07, amount: 0, currency: USD}]",
    );
    let [month, week] = &config.settings.invoices[..] else { panic!("two invoices") };
    let hours = |from: u64, until: u64| (until - from) / 3_600_000_000_000;
    assert_eq!((&*month.period, month.amount.to_string()), ("2026-10", "1204.17".to_owned()));
    // Midnight of New York in summer.
    assert_eq!(month.from.0 - week.from.0, 4 * 3_600_000_000_000);
    assert_eq!(hours(month.from.0, month.until.0), 31 * 24, "both midnights are in summer time");
    assert_eq!(hours(week.from.0, week.until.0), 7 * 24);
}

#[test]
fn tls_of_a_port_is_a_certificate_and_a_key() {
    let text = "receivers: {otlp: {protocols: {grpc: {tls: {cert_file: c.pem, key_file: k.pem, min_version: '1.3', \
                reload_interval: 0}}}}}";
    let tls = read(text).settings.receivers.grpc.unwrap().tls.unwrap();
    assert_eq!((tls.cert_file.to_str(), tls.key_file.to_str()), (Some("c.pem"), Some("k.pem")));
    assert_eq!((tls.min_version, tls.reload_interval, tls.client_ca_file), (TlsVersion::V1_3, None, None));
    let admin = read("exporters: {prometheus: {tls: {cert_file: c, key_file: k, client_ca_file: a}}}");
    assert!(admin.settings.admin.tls.unwrap().client_ca_file.is_some());
}

#[test]
fn tenants_have_their_token_and_their_limits() {
    let text = "receivers: {otlp: {auth: {rate_limit_bytes: 5, tenants: [{name: a, token: '${env:SPANTALLY_TEST_WORD}'}, \
                {name: b, token_file: t, rate_limit_bytes: 7}]}}}";
    let auth = read(text).settings.receivers.auth;
    assert!(auth.has_tokens());
    assert_eq!(auth.tenants[0].token, Some(Secret("four".to_owned())));
    assert_eq!(auth.tenants.iter().map(|one| one.limits.rate_limit_bytes).collect::<Vec<_>>(), [5, 7]);
    assert_eq!(format!("{:?}", auth.tenants[0].token), "Some(Secret(..))");
}

#[test]
fn a_tenant_without_a_token_leaves_the_port_open() {
    let auth = |tenants: &str| {
        let text = format!("receivers: {{otlp: {{auth: {{tenant_header: X, tenants: [{tenants}]}}}}}}");
        let auth = read(&text).settings.receivers.auth;
        (auth.has_tokens(), auth.asks_everyone())
    };
    assert_eq!(auth("{name: a, token: one}, {name: b, token_file: two}"), (true, true));
    assert_eq!(auth("{name: a, token: one}, {name: b}"), (true, false));
    assert_eq!(auth("{name: b}"), (false, false));
}

#[test]
fn destinations_are_named_by_their_key() {
    let text = "exporters:\n  otlp/tempo: {endpoint: 'tempo:4317', tls: {insecure: true, \
                server_name_override: '${env:SPANTALLY_TEST_WORD}.example.com'}, compression: zstd, \
                headers: {X-Key: k}, sending_queue: {queue_size: 2000000, batch: {max_size: 2048}}, \
                job_attributes: {enabled: true, wait_duration: 90s, max_size: 3000000}}\n  \
                otlphttp: {endpoint: 'https://c.example.com/otlp/', \
                tls: {reload_interval: 0}, retry_on_failure: {initial_interval: 1s}}\n";
    let found = read(text).settings.forward;
    let [grpc, http] = &found[..] else { panic!("{found:?}") };
    assert_eq!((grpc.name.as_str(), grpc.protocol), ("otlp/tempo", Protocol::Grpc));
    assert_eq!((&*grpc.url.to_string(), grpc.queue.batch_max_bytes), ("http://tempo:4317/", 2048));
    assert_eq!((grpc.compression, grpc.queue.max_bytes), (Compression::Zstd, 2_000_000));
    assert_eq!([grpc, http].map(|one| one.tls.reload_interval), [Some(Duration::from_mins(1)), None]);
    let hold = HoldSpans { enabled: true, wait_duration: Duration::from_secs(90), max_bytes: 3_000_000 };
    assert_eq!((grpc.hold, http.hold), (hold, HoldSpans::default()));
    let name = grpc.tls.server_name_override.as_ref().map(|name| name.to_str());
    assert_eq!(name.as_deref(), Some("four.example.com"));
    assert_eq!(grpc.headers, [("x-key".to_owned(), Secret("k".to_owned()))]);
    assert_eq!((http.name.as_str(), http.protocol), ("otlphttp", Protocol::Http));
    assert_eq!(http.url.to_string(), "https://c.example.com/otlp/v1/traces");
    assert_eq!(http.retry.initial_interval, Duration::from_secs(1));
    assert_eq!((http.compression, http.timeout), (Compression::Gzip, Duration::from_secs(30)));
}

#[test]
fn the_command_line_wins() {
    let config = read_with("storage: {directory: one}", &["storage.directory=two"]);
    assert_eq!(config.settings.storage.directory, Path::new("two"));
}

#[test]
fn a_connection_age_of_zero_is_never() {
    let age = |text: &str| {
        let set =
            format!("receivers.otlp.protocols.grpc.keepalive.server_parameters.max_connection_age={text}");
        read_with("", &[&set]).settings.receivers.grpc.unwrap().max_connection_age
    };
    assert_eq!(age("0"), None);
    assert_eq!(age("5m"), Some(Duration::from_mins(5)));
}

#[test]
fn each_mistake_has_its_message() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata");
    let mut names: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        let text = std::fs::read_to_string(directory.join(&name)).unwrap();
        let source = Source::file(Path::new(&name), text);
        let error = resolve(&source, &[], &environment).expect_err(&name);
        assert!(!shown(&error).contains("hush"), "a secret is never shown: {error}");
        insta::assert_snapshot!(name.trim_end_matches(".bad.yaml"), shown(&error));
    }
}

/// Whatever else is wrong, and on whichever line: secrets on the lines beside it are not shown.
#[test]
fn no_mistake_shows_the_secrets_around_it() {
    let good = "\
receivers:
  otlp:
    auth:
      # - {name: old, token: hush}
      tenants:
        - {name: clips, token: hush, rate_limit_bytes: 5}
        - name: ads
          token: \"hush # hush
            hush\"
        - name: films
          token: >-
            hush-films
exporters:
  otlp/tempo:
    headers: {authorization: \"Bearer hush\", x-key: 'hush'}
    endpoint: tempo:4317
  otlphttp:
    headers:
      x-key: hush

      # hush
      authorization: \"Bearer {hush\"
    endpoint: collector:4318
";
    assert_eq!(read(good).settings.forward.len(), 2);
    let lines: Vec<_> = good.lines().collect();
    for at in 0..=lines.len() {
        for indentation in (0..14).step_by(2) {
            for mistake in [
                "nothing: 1",
                "- nothing",
                "{",
                "\"",
                "nothing",
                "\tx: y",
                "token: {x: hush",
                "headers: hush",
            ] {
                let (before, after) = (lines[..at].join("\n"), lines[at..].join("\n"));
                let text = format!("{before}\n{}{mistake}\n{after}\n", " ".repeat(indentation));
                let source = Source::file(Path::new("test.yaml"), text.clone());
                // Within a text or an empty place it may be none.
                let Err(error) = resolve(&source, &[], &environment) else { continue };
                assert!(!shown(&error).contains("hush"), "{text}\n{}", shown(&error));
            }
        }
    }
}

#[test]
fn a_mistake_on_the_command_line_has_its_message() {
    for (name, pair) in [
        ("set_unknown_key", "exporters.prometheus.endpont=127.0.0.1:0"),
        ("set_without_value", "storage.directory"),
        ("set_invalid_value", "processors.spantally.settle_delay=soon"),
        ("set_tls_without_key", "exporters.prometheus.tls.cert_file=/etc/spantally/tls.crt"),
    ] {
        let error = resolve(&Source::none(), &[pair.to_owned()], &environment).expect_err(pair);
        insta::assert_snapshot!(name, shown(&error));
    }
}
