// What the modules of the page must make of some values: run in the browser, it returns the differences.
async () => {
  const differences = [];
  const is = (what, found, expected) => {
    const [one, other] = [found, expected].map((value) => JSON.stringify(value));
    if (one !== other) differences.push(`${what}: ${one} instead of ${other}`);
  };
  const load = (name) => import(`/page/${name}.js`);

  const decimals = await load("decimal");
  const { add, compare, fixed, parse, percent, quotient, round, subtract, text, ZERO } = decimals;
  const sum = (...all) => text(all.map(parse).reduce(add, ZERO));
  is("a sum that floats get wrong", sum("0.1", "0.2"), "0.3");
  is("a long sum", sum("9007199254740993", "0.0000000001"), "9,007,199,254,740,993.0000000001");
  is("a difference", text(subtract(parse("1"), parse("1.25"))), "-0.25");
  is("exponents", ["1e-05", "1.5e+3", "-2E2"].map((one) => text(parse(one))), ["0.00001", "1,500", "-200"]);
  is("threes, and no noughts at the end", text(parse("-1234567.5000")), "-1,234,567.5");
  is("no numbers", ["NaN", "+Inf", "", "1.2.3", ".5", "x"].map(parse), [null, null, null, null, null, null]);
  is("halves go away from zero",
    ["0.00005", "-0.00005", "0.00004", "2"].map((one) => fixed(parse(one), 4)),
    ["0.0001", "-0.0001", "0.0000", "2.0000"]);
  is("fewer places stay", text(round(parse("0.5"), 4)), "0.5");
  is("a quotient", text(quotient(parse("2"), parse("3"), 4)), "0.6667");
  is("by nought", quotient(parse("2"), ZERO, 4), null);
  const pairs = [["1", "8"], ["1", "100000"], ["0", "5"], ["1", "0"]];
  is("shares", pairs.map((pair) => percent(...pair.map(parse))),
    ["12.5 %", "< 0.1 %", "0.0 %", null]);
  is("order", ["1", "1.0", "0.9", "1.1"].map((one) => compare(parse(one), parse("1"))), [0, 0, -1, 1]);

  const { parseSamples } = await load("exposition");
  const samples = (page) => parseSamples(page, new Set(["a"])).get("a") ?? null;
  is("wanted names alone", samples("# HELP a b\n# TYPE a gauge\na 1\nab 2\nb 3\na{x=\"y\"} 4 1700000000\n"),
    [{ labels: {}, value: "1" }, { labels: { x: "y" }, value: "4" }]);
  is("escapes", samples("a{x=\"q\\\"} 9,\\\\n\\n}\",y=\"\"} 5"),
    [{ labels: { x: "q\"} 9,\\n\n}", y: "" }, value: "5" }]);
  is("spaces and a last comma", samples("a{ x = \"1\" , y=\"2\", } 4"),
    [{ labels: { x: "1", y: "2" }, value: "4" }]);
  is("broken lines", samples("a{x=\"1\na\na{x=\"1\"}\na{x=1} 2"), null);
  is("an empty page", samples(""), null);

  const { net, partial, read } = await load("figures");
  const page = "spantally_jobs_total{outcome=\"failed\"} 3\nspantally_jobs_total{outcome=\"partial\"} 1\n"
    + "spantally_jobs_reversed_total{outcome=\"failed\"} 2\n";
  const jobs = net(read(page), "jobs", ({ outcome }) => outcome);
  is("net of reversals", [...jobs].map(([outcome, count]) => [outcome, text(count)]),
    [["failed", "1"], ["partial", "1"]]);
  is("a part of a sum", text(partial(jobs, (outcome) => outcome === "failed")), "1");

  const { aligned, cost, places, range } = await load("money");
  is("a bound", [range({ min: "0", max: "0.5" }), range({ min: "2", max: "2" })], ["0 to 0.5", "2"]);
  const most = places(["1.125", "3", null]);
  is("aligned", ["2", "0.5", "0.125"].map((one) => aligned(one, most).length), [5, 5, 5]);
  is("unknown is not zero", cost({ state: "open", cost: {} }, 0).textContent, "not known");
  is("unpriced", cost({ state: "settled", cost: {}, unpriced: [{}] }, 0)[0].textContent, "unpriced");

  const { length } = await load("time");
  is("lengths", [5, 12_340, 60_000, 3_725_000, 183_600_000, NaN].map(length),
    ["5 ms", "12.3 s", "1 min 00 s", "1 h 02 min", "2 d 3 h", ""]);

  const { el } = await load("dom");
  const leads = (href) => el("a", { href }).hasAttribute("href");
  const elsewhere = ["javascript:alert(1)", "//example.com/metrics", "https://example.com", "/metricsx"];
  is("links to this server alone", elsewhere.filter(leads), []);
  is("links to this server", ["/metrics", "#/jobs"].map(leads), [true, true]);
  is("text", el("b", {}, "<i>", null, [["x"]]).innerHTML, "&lt;i&gt;x");

  const { folded } = await load("timeline");
  const poll = (second) => ({ call: "poll", attempt: 0, status: 200, failure_reason: null,
    started_at: `2026-01-01T00:00:0${second}Z` });
  const seconds = (run) => run.map(({ started_at: at }) => at.at(-2));
  is("many polls are one line", folded([3, 1, 2].map(poll)).map(seconds), [["1", "2", "3"]]);
  is("two are two", folded([1, 2].map(poll)).length, 2);
  is("one that tells something stands alone",
    folded([poll(1), poll(2), { ...poll(3), failure_reason: "not_ready" }, poll(4)]).length, 4);

  const { render } = await load("job");
  const document = { job_id: "7", revision: 1, state: "settled", outcome: "unknown", failure_reason: null,
    tenant: "", service: "clips", provider: "fal", model: "", operation: "", spans: ["a:b"], attempts: [],
    charges: [], cost: {}, started_at: "2026-01-01T00:00:00Z", ended_at: "2026-01-01T00:00:01Z" };
  const says = (words, changes, calls = []) =>
    el("div", {}, render({ job: { ...document, ...changes }, calls })).textContent.includes(words);
  is("settled", says("was superseded", {}), false);
  is("superseded", says("was superseded", { state: "superseded" }), true);
  is("calls in memory", says("not in memory", {}), false);
  is("calls that nobody has any more", says("not in memory", {}, null), true);
  is("labels by name", says("teamvideo", { labels: { team: "video" } }), true);
  is("labels without names", says("video", { labels: ["video"] }), false);
  const charge = { attempt: 0, unit: "second", quantity: "5", unit_price: null, cost: null, currency: null,
    cause: "delivered", basis: "unpriced", rule: "fal/x", policy: "no_tariff" };
  is("a charge without a price", says("5secondunknownunknown", { charges: [charge] }), true);

  const { routeOf } = await load("page");
  is("routes", ["", "#", "#/", "#/jobs?provider=fal", "#/jobs/1%2F2", "#/other", "#/jobs/1/2"].map((hash) => {
    const route = routeOf(hash);
    return route && [route.name, String(route.query), route.id ?? null];
  }), [["overview", "", null], ["overview", "", null], ["overview", "", null], ["jobs", "provider=fal", null],
    ["jobs", "", "1/2"], null, null]);
  return differences;
}
