//! What a run is found guilty of.

/// What the judge found.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Acknowledged events that are nowhere.
    pub lost: usize,
    /// Events, jobs, records or alerts that are there more than once.
    pub doubled: usize,
    /// Everything that is wrong, those included.
    pub findings: Vec<String>,
}

impl Judgement {
    pub fn find(&mut self, finding: String) {
        self.findings.push(finding);
    }

    pub fn lost(&mut self, finding: &str) {
        self.lost += 1;
        self.find(format!("lost: {finding}"));
    }

    pub fn doubled(&mut self, finding: &str) {
        self.doubled += 1;
        self.find(format!("doubled: {finding}"));
    }
}
