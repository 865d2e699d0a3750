//! Numbers, times and names as the page writes them. Pure.

use jiff::civil::Date;

const MILLIS: i64 = 1000;

/// Keeps a number and its unit on one line.
const NBSP: char = '\u{a0}';

/// A length of time, rounded down: `2 h 05 min`, `34 s`.
pub fn duration(ms: i64) -> String {
    let seconds = ms / MILLIS;
    let minutes = seconds / 60;
    match (ms, seconds, minutes) {
        (..=0, ..) => format!("0{NBSP}min"),
        (_, 0, _) => format!("under 1{NBSP}s"),
        (_, ..60, _) => format!("{seconds}{NBSP}s"),
        (_, _, ..60) => format!("{minutes}{NBSP}min"),
        _ => format!("{}{NBSP}h{NBSP}{:02}{NBSP}min", minutes / 60, minutes % 60),
    }
}

/// A count with commas between thousands.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 commit`, `2 commits`.
pub fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", number(count))
}

/// The part that this is of the whole: `45%`.
pub fn share(part: i64, whole: i64) -> String {
    match percent(part, whole) {
        _ if part <= 0 => "0%".to_owned(),
        below if below < 1.0 => "under 1%".to_owned(),
        share => format!("{share:.0}%"),
    }
}

/// The same as a number from 0 to 100.
pub fn percent(part: i64, whole: i64) -> f64 {
    if whole <= 0 {
        return 0.0;
    }
    100.0 * part as f64 / whole as f64
}

/// `Tuesday 3 March`.
pub fn long_day(date: Date) -> String {
    date.strftime("%A %-d %B").to_string()
}

/// `Tuesday`.
pub fn weekday(date: Date) -> String {
    date.strftime("%A").to_string()
}

/// `Tue 3`.
pub fn short_day(date: Date) -> String {
    date.strftime("%a %-d").to_string()
}

/// An offset of local time, in seconds: `UTC+05:45`.
pub fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '\u{2212}' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A time of day, in minutes since midnight: `09:05`.
pub fn clock(minutes: i64) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `one, two and three`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// A name cut to so many columns of text, with an ellipsis if it was longer. What East Asians write takes two.
pub fn shorten(name: &str, columns: usize) -> String {
    let mut left = columns;
    let mut kept = 0;
    for (at, c) in name.char_indices() {
        let width = columns_of(c);
        if width > left {
            // The ellipsis takes the place of what was kept last.
            let kept = name[..kept].trim_end();
            return format!("{kept}…");
        }
        left -= width;
        if left > 0 {
            kept = at + c.len_utf8();
        }
    }
    name.to_owned()
}

fn columns_of(c: char) -> usize {
    let wide = matches!(
        u32::from(c),
        0x1100..=0x115f
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0xffe0..=0xffe6
            | 0x1f300..=0x1faff
            | 0x20000..=0x3fffd
    );
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn times_and_counts_are_written_for_people() {
        let minute = 60_000;
        let duration = |ms| duration(ms).replace(NBSP, " ");
        assert_eq!(duration(0), "0 min");
        assert_eq!(duration(999), "under 1 s");
        assert_eq!(duration(59_999), "59 s");
        assert_eq!(duration(minute), "1 min");
        assert_eq!(duration(60 * minute - 1), "59 min");
        assert_eq!(duration(125 * minute), "2 h 05 min");
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_000), "1,000");
        assert_eq!(number(9_007_199_254_740_991), "9,007,199,254,740,991");
        assert_eq!(counted(1, "commit"), "1 commit");
        assert_eq!(counted(1_200, "commit"), "1,200 commits");
        assert_eq!(share(0, 10), "0%");
        assert_eq!(share(1, 1000), "under 1%");
        assert_eq!(share(2, 3), "67%");
        assert_eq!(offset(20_700), "UTC+05:45");
        assert_eq!(offset(-12_600), "UTC\u{2212}03:30");
        assert_eq!(clock(24 * 60), "24:00");
        assert_eq!(long_day(date(2026, 3, 3)), "Tuesday 3 March");
        assert_eq!(short_day(date(2026, 3, 13)), "Fri 13");
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(&names), "a, b and c");
        assert_eq!(list(&names[..1]), "a");
    }

    #[test]
    fn long_names_end_in_an_ellipsis() {
        assert_eq!(shorten("devtrail", 8), "devtrail");
        assert_eq!(shorten("devtrails", 8), "devtrai…");
        assert_eq!(shorten("my app that is", 8), "my app…");
        assert_eq!(shorten("項目甲乙丙", 10), "項目甲乙丙");
        assert_eq!(shorten("項目甲乙丙", 9), "項目甲乙…");
        assert_eq!(shorten("", 5), "");
    }
}
