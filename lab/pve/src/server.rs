//! A request's way through the API server: proxy, authentication, access, forwarding, parameters, handler, envelope.

use lab_wire::{Answer, Interface, Millis, Random, Request, Response, Server};

use crate::Pve;
use crate::answer::{Failure, Format, Handled, Reply, envelope, finish, http_date};
use crate::auth::{self, Access};
use crate::form;
use crate::inspect::LogEntry;
use crate::multipart;
use crate::params;
use crate::routes::{self, Call};

impl Server for Pve {
    fn handle(&mut self, request: &Request, now: Millis, random: &mut Random) -> Answer {
        self.advance(now, random);
        let now = self.now;
        let (method, path) = (request.method.as_str(), request.path.as_str());
        let receiver = self.receiver(request);
        if self.faults.offline.contains(&receiver) {
            return Answer::Drop;
        }
        for fault in self.faults.due(method, path) {
            self.fault(fault);
        }
        self.advance(now, random);
        let dropped = self.faults.drops(method, path);
        let slow = self.faults.proxy_timeout(method, path);
        let (who, answer) = self.answer(request, receiver, random);
        // A task that was just started takes its first steps before anything else happens.
        self.advance(now, random);
        let answer = match self.dated(answer) {
            _ if dropped => Answer::Drop,
            _ if slow => {
                let response = finish(Response::empty(596), Some("Connection timed out"));
                Answer::At(now + self.settings.scaled(self.settings.durations.proxy), response)
            }
            other => other,
        };
        self.record(request, who, &answer);
        answer
    }

    fn interface(&self, request: &Request) -> Option<Interface> {
        // The root is the web page, not the API.
        (request.path != "/").then(|| Interface::new("proxmox", self.settings.release.release()))
    }

    fn tick(&mut self, now: Millis, random: &mut Random) {
        self.advance(now, random);
    }

    fn next_timer(&self) -> Option<Millis> {
        // Broadcasts change nothing that anybody waits for: they are caught up with at the next request.
        self.tasks.next().map(|(wake, _)| wake)
    }
}

impl Pve {
    /// What the access list says.
    pub(crate) fn access(&self) -> Access<'_> {
        Access { settings: &self.settings, store: &self.store, withheld: &self.faults.withheld }
    }

    /// The node that a request came in at.
    fn receiver(&self, request: &Request) -> String {
        let named = self.settings.node(&request.endpoint).or(self.settings.nodes.first());
        named.map(|node| node.name.clone()).unwrap_or_default()
    }

    fn answer(&mut self, request: &Request, receiver: String, random: &mut Random) -> (String, Answer) {
        let refuse = |status, text: &str| finish(Response::text(status, "text/plain", text), Some(text));
        let chunked = request.header_value("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        if chunked {
            return (String::new(), refuse(501, "chunked transfer encoding not supported").into());
        }
        let lines = request.headers.len();
        if lines > 64 || request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() > 8192
        {
            return (String::new(), refuse(400, "too many http header lines (> 64)").into());
        }
        let mut segments = request.segments();
        let format = match (segments.first().map(String::as_str), segments.get(1).map(String::as_str)) {
            (Some("api2"), Some("json")) => Format::Json,
            (Some("api2"), Some("extjs")) => Format::Extjs,
            _ => return (String::new(), refuse(404, "no such file").into()),
        };
        segments.drain(..2);
        let who = auth::authenticate(&self.settings, request, self.now);
        let who =
            match who.and_then(|who| if self.faults.token_refused { Err("Authentication failed!") } else { Ok(who) }) {
                Ok(who) => who,
                Err(reason) => {
                    let at = self.now + self.settings.scaled(self.settings.durations.unauthorized);
                    return (String::new(), Answer::At(at, finish(Response::empty(401), Some(reason))));
                }
            };
        let id = who.id.clone();
        let handled = self.serve(request, &segments, who, receiver, random);
        let response = envelope(&handled, format, self.settings.release);
        let at = match &handled {
            Ok(reply) => reply.at,
            Err(failure) => failure.at,
        };
        (id, at.filter(|at| *at > self.now).map_or(Answer::Now(response.clone()), |at| Answer::At(at, response)))
    }

    fn serve(
        &mut self,
        request: &Request,
        segments: &[String],
        who: auth::Identity,
        receiver: String,
        random: &mut Random,
    ) -> Handled {
        let (method, path) = (request.method.as_str(), format!("/{}", segments.join("/")));
        let found = routes::find(method, segments);
        let content_type = request.header_value("content-type").unwrap_or_default();
        let (given, file) = match multipart::boundary(content_type) {
            Some(boundary) if found.as_ref().is_some_and(|(route, _)| route.upload) => {
                let upload = multipart::parse(&request.body, boundary).map_err(|text| Failure::raw(501, text))?;
                (upload.fields, Some(upload.file))
            }
            _ => (form::read(request)?, None),
        };
        let unknown = || Failure { status: 501, ..Failure::died(format!("Method '{method} {path}' not implemented")) };
        let (route, in_path) = found.ok_or_else(unknown)?;
        let mut given = given;
        for (name, value) in in_path {
            if given.contains_key(&name) {
                return Err(Failure::parameter(&name, "duplicate parameter (already defined in URI)"));
            }
            given.insert(name, vec![value]);
        }
        let mut call = Call { who, receiver, args: params::unchecked(given.clone()), file };
        routes::permitted(self, route, &call)?;
        self.reach(route, &call)?;
        if self.faults.no_quorum && method != "GET" {
            return Err(Failure::died("cluster not ready - no quorum?"));
        }
        if let Some((status, text)) = self.faults.status(method, &request.path) {
            let raw = (595..600).contains(&status);
            return Err(Failure { status, raw, ..Failure::died(text) });
        }
        let params: Vec<params::Param> = route.params.iter().flat_map(|group| group.iter().copied()).collect();
        call.args = params::check(&params, given, self.settings.release).map_err(Failure::parameters)?;
        (route.handler)(self, &call, random)
    }

    /// The answer with the time at which it goes out, by the clock of the nodes.
    fn dated(&self, answer: Answer) -> Answer {
        let ahead = self.faults.clock_ahead.saturating_mul(1000);
        let date =
            |response: Response, at: Millis| response.header("date", &http_date(at.saturating_add_signed(ahead)));
        match answer {
            Answer::Now(response) => Answer::Now(date(response, self.now)),
            Answer::At(at, response) => Answer::At(at, date(response, at)),
            other => other,
        }
    }

    /// Forwards to the node that the path names.
    fn reach(&self, route: &routes::Route, call: &Call) -> Result<(), Failure> {
        let Some(node) = call.args.text("node").filter(|_| route.proxied) else { return Ok(()) };
        if self.settings.node(node).is_none() {
            let text = format!(
                "hostname lookup '{node}' failed - failed to get address info for: {node}: Name or service not known"
            );
            return Err(Failure::died(text));
        }
        if self.faults.offline.contains(node) {
            return Err(Failure::raw(595, "No route to host"));
        }
        Ok(())
    }

    fn record(&mut self, request: &Request, who: String, answer: &Answer) {
        let (status, message) = match answer {
            Answer::Now(response) | Answer::At(_, response) | Answer::Stream(_, response) => {
                let body = response.value();
                let inner = body.get("status").and_then(serde_json::Value::as_u64).map(|status| status as u16);
                let message = body.get("message").and_then(serde_json::Value::as_str).map(str::to_owned);
                (inner.unwrap_or(response.status), message.or(response.reason.clone()).unwrap_or_default())
            }
            Answer::Drop => (0, String::new()),
        };
        self.log.push(LogEntry {
            at: self.now,
            method: request.method.clone(),
            path: request.path.clone(),
            who,
            status,
            message: message.trim_end().to_owned(),
        });
    }
}

/// An answer that goes out later.
pub(crate) fn later(reply: impl Into<Reply>, at: Millis) -> Reply {
    Reply { at: Some(at), ..reply.into() }
}
