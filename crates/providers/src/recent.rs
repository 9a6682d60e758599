//! What spans had of late: hosts, client libraries, query shapes and endpoints.
//!
//! A client sends the same few again and again, so comparing with what was there before answers nearly every
//! time, and costs less than hashing. Everything here is of a fixed size and forgets by overwriting.

use std::sync::Arc;

use smallvec::SmallVec;
use spantally_stitch::Endpoint;

use crate::attributes::tail;
use crate::fingerprint::Fingerprint;
use crate::route::Method;

/// Longest text that is kept. Host names are no longer than 253 bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Places of one table: many more than a fleet has hosts or libraries, so that seldom two share one.
const PLACES: usize = 64;

/// Endpoints of one rule.
const ENDPOINTS_A_RULE: usize = 4;

/// Where a text is kept in a table of [`PLACES`]. Texts that share a place cost a look-up each, no more.
#[inline]
fn place(text: &str) -> usize {
    const MULTIPLIER: u64 = 0xff51_afd7_ed55_8ccd;
    let mixed = (tail(text.as_bytes()) ^ text.len() as u64).wrapping_mul(MULTIPLIER);
    (mixed >> 58) as usize % PLACES
}

/// Hosts and what is known of them.
#[derive(Debug)]
pub(crate) struct RecentHosts([Option<RecentHost>; PLACES]);

impl Default for RecentHosts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| None))
    }
}

/// A host that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct RecentHost {
    name: Box<str>,
    /// The rules of it, if there are any.
    pub(crate) index: Option<u32>,
    /// The fingerprint of a request as far as method and host, by method.
    begun: [Fingerprint; Method::ALL.len()],
}

impl RecentHost {
    fn new(name: &str, (index, asked): (Option<u32>, &str)) -> Self {
        let begun = Method::ALL.map(|method| Fingerprint::new().part(method.as_str()).part(asked));
        Self { name: name.into(), index, begun }
    }

    /// The fingerprint of a request to this host, as far as method and host.
    #[inline]
    pub(crate) fn begun(&self, method: Method) -> Fingerprint {
        self.begun[method as usize]
    }
}

impl RecentHosts {
    /// A host, looked up if it was not asked for of late: its rules, and the host of the fingerprint. None
    /// when its name is too long to be one.
    #[inline]
    pub(crate) fn get<'n>(
        &mut self,
        name: &'n str,
        look_up: impl FnOnce(&'n str) -> (Option<u32>, &'n str),
    ) -> Option<&RecentHost> {
        let held = &mut self.0[place(name)];
        if held.as_ref().is_none_or(|held| *held.name != *name) {
            if name.len() > TEXT_BYTES_MAX {
                return None;
            }
            *held = Some(RecentHost::new(name, look_up(name)));
        }
        held.as_ref()
    }
}

/// Fingerprints of one or two texts.
#[derive(Debug)]
pub(crate) struct RecentFingerprints([(Box<str>, Box<str>, u64); PLACES]);

impl Default for RecentFingerprints {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Default::default()))
    }
}

impl RecentFingerprints {
    /// The value of two texts, made by `make` if they were not asked for of late. The value of two empty
    /// texts must be zero or made each time.
    #[inline]
    pub(crate) fn get(&mut self, first: &str, second: &str, make: impl FnOnce() -> u64) -> u64 {
        let held = &mut self.0[place(second)];
        if *held.1 == *second && *held.0 == *first && held.2 != 0 {
            return held.2;
        }
        let value = make();
        if first.len() + second.len() <= TEXT_BYTES_MAX {
            *held = (first.into(), second.into(), value);
        }
        value
    }
}

/// The last endpoints of each rule, by what the path captured of model and family.
#[derive(Debug, Default)]
pub(crate) struct RecentEndpoints(Vec<OfRule>);

#[derive(Clone, Debug, Default)]
struct OfRule {
    held: SmallVec<[(Captured, Arc<Endpoint>); ENDPOINTS_A_RULE]>,
    /// The one that is overwritten next.
    oldest: usize,
}

type Captured = SmallVec<[Box<str>; 2]>;

impl RecentEndpoints {
    #[inline]
    pub(crate) fn get<'c>(
        &self,
        rule: u32,
        captured: &(impl Iterator<Item = &'c str> + Clone),
    ) -> Option<&Arc<Endpoint>> {
        let same = |texts: &Captured| texts.iter().map(|text| &**text).eq(captured.clone());
        let held = &self.0.get(rule as usize)?.held;
        held.iter().find(|(texts, _)| same(texts)).map(|(_, endpoint)| endpoint)
    }

    pub(crate) fn keep<'c>(
        &mut self,
        rule: u32,
        captured: &(impl Iterator<Item = &'c str> + Clone),
        endpoint: &Arc<Endpoint>,
    ) {
        if captured.clone().map(str::len).sum::<usize>() > TEXT_BYTES_MAX {
            return;
        }
        let rule = rule as usize;
        if self.0.len() <= rule {
            self.0.resize_with(rule + 1, OfRule::default);
        }
        let of_rule = &mut self.0[rule];
        let entry = (captured.clone().map(Box::from).collect(), endpoint.clone());
        if of_rule.held.len() < ENDPOINTS_A_RULE {
            of_rule.held.push(entry);
        } else {
            of_rule.held[of_rule.oldest] = entry;
            of_rule.oldest = (of_rule.oldest + 1) % ENDPOINTS_A_RULE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_looked_up_again_only_when_another_took_its_place() {
        let mut hosts = RecentHosts::default();
        let mut asked = 0;
        for round in 0..3 {
            for number in 0..200_u32 {
                let name = format!("api-{number}.example.com");
                let host = hosts.get(&name, |name| {
                    asked += 1;
                    ((number % 2 == 0).then_some(number), name)
                });
                let host = host.unwrap();
                assert_eq!(host.index, (number % 2 == 0).then_some(number), "round {round}");
                let begun = Fingerprint::new().part("PUT").part(&name);
                assert_eq!(host.begun(Method::Put).value(), begun.value());
                hosts.get(&name, |_| unreachable!("{name} was there a moment ago"));
            }
        }
        assert!(asked >= 200, "each had to be looked up once");
        assert!(hosts.get(&"h".repeat(300), |name| (Some(1), name)).is_none());
    }

    #[test]
    fn hosts_of_one_application_have_a_place_each() {
        let names = [
            "queue.fal.run",
            "v3.fal.media",
            "api.dev.runwayml.com",
            "api.lumalabs.ai",
            "storage.cdn-luma.com",
            "api.openai.com",
            "api.elevenlabs.io",
        ];
        let mut hosts = RecentHosts::default();
        let mut asked = 0;
        for name in names.into_iter().cycle().take(3 * names.len()) {
            hosts.get(name, |name| {
                asked += 1;
                (None, name)
            });
        }
        assert_eq!(asked, names.len());
    }

    #[test]
    fn fingerprints_are_of_both_texts() {
        let mut recent = RecentFingerprints::default();
        assert_eq!(recent.get("", "", || 1), 1);
        assert_eq!(recent.get("a", "x", || 2), 2);
        assert_eq!(recent.get("a", "x", || unreachable!()), 2);
        assert_eq!(recent.get("b", "x", || 3), 3);
        assert_eq!(recent.get("a", "x", || 4), 4);
        let long = "x".repeat(300);
        assert_eq!(recent.get("a", &long, || 5), 5);
        assert_eq!(recent.get("a", &long, || 6), 6);
    }

    #[test]
    fn a_rule_keeps_its_last_endpoints() {
        let mut recent = RecentEndpoints::default();
        let of = |model: &str| Arc::new(Endpoint { model: model.into(), ..Endpoint::default() });
        assert!(recent.get(3, &["a"].into_iter()).is_none());
        for model in ["a", "b", "c", "d", "e"] {
            recent.keep(3, &[model].into_iter(), &of(model));
        }
        assert!(recent.get(3, &["a"].into_iter()).is_none(), "overwritten");
        for model in ["b", "c", "d", "e"] {
            assert_eq!(&*recent.get(3, &[model].into_iter()).unwrap().model, model);
        }
        assert!(recent.get(2, &["b"].into_iter()).is_none());
        assert!(recent.get(3, &["b", ""].into_iter()).is_none());
        let long = "m".repeat(300);
        recent.keep(3, &[&*long].into_iter(), &of(&long));
        assert!(recent.get(3, &[&*long].into_iter()).is_none());
    }
}
