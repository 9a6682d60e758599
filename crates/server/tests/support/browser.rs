//! A real Chromium, Debian's package, driven over a pipe by its protocol for developer tools: what people
//! see, and what the console says.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::PATIENCE;

/// The program asks and answers through these descriptors.
const PIPES: &str = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null";

/// No sandbox, since tests may run as root and in containers; nothing is asked of other hosts.
const ARGUMENTS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--window-size=1600,1200",
    "--remote-debugging-pipe",
];

/// One window. Ended when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    questions: ChildStdin,
    answers: Receiver<Value>,
    last_question: u64,
    session: Option<String>,
    complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it with an empty profile.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", PIPES, "sh"])
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = answers_of(BufReader::new(child.stdout.take().unwrap()));
        let complaints = Vec::new();
        let mut browser = Self {
            child,
            questions,
            answers,
            last_question: 0,
            session: None,
            complaints,
            _profile: profile,
        };
        let target = browser.ask("Target.createTarget", &json!({"url": "about:blank"})).unwrap();
        let how = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.ask("Target.attachToTarget", &how).unwrap();
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            browser.ask(domain, &json!({})).unwrap();
        }
        browser
    }

    /// Opens an address anew, as if it had been sent: nothing of the page before is left.
    pub fn open(&mut self, url: &str) {
        for address in ["about:blank", url] {
            self.ask("Page.navigate", &json!({"url": address})).unwrap();
        }
    }

    /// Runs a script before those of each page that is opened from now on.
    pub fn before_pages(&mut self, script: &str) {
        self.ask("Page.addScriptToEvaluateOnNewDocument", &json!({"source": script})).unwrap();
    }

    /// What an expression is on the page, a promise waited for.
    ///
    /// # Errors
    /// It throws, or the page is gone in between: what the browser says.
    pub fn try_value(&mut self, expression: &str) -> Result<Value, String> {
        let how = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask("Runtime.evaluate", &how)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(format!("{expression}: {thrown}")),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// The same where it is an error if there is none.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        self.try_value(expression).unwrap_or_else(|thrown| panic!("{thrown}"))
    }

    /// Text of the first element that a selector finds, spaces as one.
    #[track_caller]
    pub fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({}).textContent", json!(selector)));
        text.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn wait_for(&mut self, expression: &str) {
        let began = Instant::now();
        while self.try_value(&format!("Boolean({expression})")) != Ok(Value::Bool(true)) {
            if began.elapsed() > PATIENCE {
                let shown = self.try_value("document.body.innerText");
                panic!("never: {expression}\n{shown:?}\n{:?}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Errors of scripts and of the policy so far; what did not reach the server is not among them.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    fn ask(&mut self, method: &str, parameters: &Value) -> Result<Value, String> {
        self.last_question += 1;
        let mut question = json!({"id": self.last_question, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            question["sessionId"] = json!(session);
        }
        let sent = self.questions.write_all(format!("{question}\0").as_bytes());
        sent.unwrap_or_else(|error| panic!("{error}: {}", self.how_it_ended()));
        loop {
            let Ok(answer) = self.answers.recv_timeout(PATIENCE) else {
                panic!("{method}: no answer; {}", self.how_it_ended())
            };
            if answer["id"] != self.last_question {
                self.complaints.extend(complaint(&answer));
            } else if let Some(error) = answer.get("error") {
                return Err(format!("{method}: {error}"));
            } else {
                return Ok(answer["result"].clone());
            }
        }
    }

    fn how_it_ended(&mut self) -> String {
        match self.child.try_wait() {
            Ok(Some(status)) if status.code() == Some(127) => {
                "chromium is not installed; scripts/test installs the Debian package".to_owned()
            }
            ended => format!("chromium: {ended:?}"),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Messages as they come, each ended by a zero byte.
fn answers_of(mut output: BufReader<impl std::io::Read + Send + 'static>) -> Receiver<Value> {
    let (sender, answers) = channel();
    std::thread::spawn(move || {
        let mut message = Vec::new();
        while output.read_until(0, &mut message).is_ok_and(|length| length > 0) {
            message.pop();
            let Ok(answer) = serde_json::from_slice(&message) else { return };
            if sender.send(answer).is_err() {
                return;
            }
            message.clear();
        }
    });
    answers
}

/// An event that says that something of the page is wrong.
fn complaint(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    let is_one = match event["method"].as_str()? {
        "Runtime.exceptionThrown" => true,
        "Runtime.consoleAPICalled" => parameters["type"] == "error",
        "Log.entryAdded" => {
            parameters["entry"]["level"] == "error" && parameters["entry"]["source"] != "network"
        }
        _ => false,
    };
    is_one.then(|| event.to_string())
}
