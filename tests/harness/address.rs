//! Free addresses for programs that need theirs on the command line.

/// Below the ports that systems give out by themselves: none of a run beside this one takes it meanwhile.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// An address of this machine that nobody listens on, as `host:port`.
#[must_use]
pub fn free_address() -> String {
    loop {
        let any = uuid::Uuid::new_v4().as_u128() % u128::from(PORTS.end - PORTS.start);
        let address = format!("127.0.0.1:{}", PORTS.start + any as u16);
        if std::net::TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}
