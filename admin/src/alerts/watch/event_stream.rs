//! Reading server-sent events, pure
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>).

use std::time::Duration;

/// An event, or a block without data that only names where the stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEvent {
    /// The last `id:` so far.
    pub id: Option<String>,
    /// Its lines of data; empty if it has none.
    pub data: String,
}

/// A stream that is read piece by piece.
#[derive(Debug, Default)]
pub struct EventParser {
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    id: Option<String>,
    /// The block since the last empty line has an id or data.
    has_begun: bool,
    data: String,
    reconnect: Option<Duration>,
}

impl EventParser {
    /// The events that these bytes complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<ServerEvent> {
        let mut events = Vec::new();
        for &byte in bytes {
            let follows_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if follows_return => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_line(&String::from_utf8_lossy(&line)));
                }
                byte => self.line.push(byte),
            }
        }
        events
    }

    /// How long to wait before connecting again, if the stream says so.
    #[must_use]
    pub fn reconnect(&self) -> Option<Duration> {
        self.reconnect
    }

    fn end_line(&mut self, line: &str) -> Option<ServerEvent> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_begun).then(|| ServerEvent {
                id: self.id.clone(),
                data: data.strip_suffix('\n').unwrap_or(&data).to_owned(),
            });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.has_begun = true;
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => {
                self.has_begun = true;
                self.id = Some(value.to_owned());
            }
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.reconnect = value.parse().ok().map(Duration::from_millis);
            }
            // A comment, the kind of event, or a field that is not known.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "retry: 1500\nid: 6\n\n: keep-alive\n\nid: 7\r\nevent: raised\r\ndata: {\"a\":1}\r\n\r\n\
        data:x\rdata:  y\r\rid\ndata: ö\n\nevent: odd\n\nid: 9\ndata: cut o";

    fn event(id: &str, data: &str) -> ServerEvent {
        ServerEvent {
            id: Some(id.to_owned()),
            data: data.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn events_are_the_same_however_the_stream_is_cut(cuts in prop::collection::vec(1_usize..20, 0..40)) {
            let mut parser = EventParser::default();
            let mut found = Vec::new();
            let mut rest = STREAM.as_bytes();
            for cut in cuts {
                let (part, more) = rest.split_at(cut.min(rest.len()));
                found.extend(parser.feed(part));
                rest = more;
            }
            found.extend(parser.feed(rest));
            let expected = [event("6", ""), event("7", "{\"a\":1}"), event("7", "x\n y"), event("", "ö")];
            prop_assert_eq!(found, expected);
            prop_assert_eq!(parser.reconnect(), Some(Duration::from_millis(1500)));
        }
    }
}
