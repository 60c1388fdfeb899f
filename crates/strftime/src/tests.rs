//! What Envoy 1.40 printed for these formats.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{LineFeed, TimeFormat, Zone};

fn show(format: &str, time: SystemTime) -> String {
    let mut out = Vec::new();
    TimeFormat::parse(format, Zone::Utc)
        .unwrap()
        .write(time, &mut out);
    String::from_utf8(out).unwrap()
}

/// 2026-11-22 14:17:07.546225 UTC, a Sunday
fn sunday() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(1_795_357_027_546_225)
}

#[test]
fn conversions() {
    for (conversion, text) in [
        ("a", "Sun"),
        ("A", "Sunday"),
        ("b", "Nov"),
        ("B", "November"),
        ("c", "Sun Nov 22 14:17:07 2026"),
        ("C", "20"),
        ("d", "22"),
        ("D", "11/22/26"),
        ("e", "22"),
        ("F", "2026-11-22"),
        ("g", "26"),
        ("G", "2026"),
        ("h", "Nov"),
        ("H", "14"),
        ("I", "02"),
        ("j", "326"),
        ("k", "14"),
        ("l", " 2"),
        ("m", "11"),
        ("M", "17"),
        ("p", "PM"),
        ("P", "pm"),
        ("r", "02:17:07 PM"),
        ("R", "14:17"),
        ("s", "1795357027"),
        ("S", "07"),
        ("t", "\t"),
        ("T", "14:17:07"),
        ("u", "7"),
        ("U", "47"),
        ("V", "47"),
        ("w", "0"),
        ("W", "46"),
        ("x", "11/22/26"),
        ("X", "14:17:07"),
        ("y", "26"),
        ("Y", "2026"),
        ("z", "+0000"),
        ("Z", "UTC"),
        ("Q", "%Q"),
        ("f", "546225000"),
        ("i", "%i"),
        ("E", "%E"),
        ("O", "%O"),
        ("+", "%+"),
        ("3f", "546"),
        ("6f", "546225"),
        ("9f", "546225000"),
        ("1f", "5"),
        ("0f", "%0f"),
        ("E3S", "07.546"),
        ("E6S", "07.546225"),
        ("E*S", "07.546225"),
        ("E3f", "546"),
        ("E*f", "546225"),
        ("E4Y", "2026"),
        ("Ez", "+00:00"),
        ("E*z", "+00:00:00"),
        ("ET", "T"),
        ("Ey", "26"),
        ("EY", "2026"),
        ("Ec", "Sun Nov 22 14:17:07 2026"),
        ("Od", "22"),
        ("OH", "14"),
        ("-d", "22"),
        ("^a", "SUN"),
        ("#p", "pm"),
        ("10Y", "0000002026"),
        ("5d", "00022"),
        ("E9S", "07.546225000"),
        ("E15S", "07.546225000000000"),
        ("E0f", ""),
        ("3s", "1795357027"),
        (":z", "+00:00"),
        ("::z", "+00:00:00"),
    ] {
        assert_eq!(
            show(&format!("<%{conversion}>"), sunday()),
            format!("<{text}>"),
            "%{conversion}"
        );
    }
    assert_eq!(
        show("%3f-%f-%s-%6f %H", sunday()),
        "546-546225000-1795357027-546225 14"
    );
    assert_eq!(show("a%", sunday()), "a%");
    assert_eq!(show("%%", sunday()), "%");
}

#[test]
fn padding_and_short_fractions() {
    let time = UNIX_EPOCH + Duration::from_micros(946_782_245_050_000);
    assert_eq!(
        show("%d|%e|%-d|%_d|%j|%E*S|%E*f|%E3S", time),
        "02| 2|2| 2|002|05.05|05|05.050"
    );
    let whole = UNIX_EPOCH + Duration::from_secs(5);
    assert_eq!(show("%E*S|%E*f|%E3S|%3f", whole), "05|0|05.000|000");
}

#[test]
fn the_calendar() {
    let day = |days: i64| {
        let seconds = Duration::from_secs(days.unsigned_abs() * 86_400);
        if days < 0 {
            UNIX_EPOCH - seconds
        } else {
            UNIX_EPOCH + seconds
        }
    };
    assert_eq!(show("%F %a %j %G-%V", day(0)), "1970-01-01 Thu 001 1970-01");
    assert_eq!(
        show("%F %a %j %G-%V", day(-1)),
        "1969-12-31 Wed 365 1970-01"
    );
    assert_eq!(
        show("%F %j %G-%V %U %W", day(11_016)),
        "2000-02-29 060 2000-09 09 09"
    );
    assert_eq!(show("%F %j %G-%V", day(18_627)), "2020-12-31 366 2020-53");
    assert_eq!(show("%F %G-%V", day(18_628)), "2021-01-01 2020-53");
    assert_eq!(show("%F %G-%V", day(18_260)), "2019-12-30 2020-01");
    assert_eq!(show("%F", day(47_541)), "2100-03-01");
    let before = UNIX_EPOCH - Duration::from_millis(250);
    assert_eq!(show("%FT%T.%3f %s", before), "1969-12-31T23:59:59.750 -1");
}

#[test]
fn a_cached_second_gets_its_own_fraction() {
    let formats: Vec<_> = (0..20)
        .map(|_| TimeFormat::parse("%Y-%m-%dT%H:%M:%E3SZ", Zone::Utc).unwrap())
        .collect();
    for millis in [0, 1, 999, 1_000, 1_001, 500] {
        for format in &formats {
            let mut out = b"x".to_vec();
            format.write(UNIX_EPOCH + Duration::from_millis(millis), &mut out);
            let text = format!("x1970-01-01T00:00:0{}.{:03}Z", millis / 1000, millis % 1000);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}

#[test]
fn local_time_shows_its_offset() {
    let mut out = Vec::new();
    TimeFormat::parse("%FT%T%z", Zone::Local)
        .unwrap()
        .write(sunday(), &mut out);
    let text = String::from_utf8(out).unwrap();
    let (_, offset) = text.split_at(text.len() - 5);
    assert!(offset.starts_with(['+', '-']), "{text}");
}

#[test]
fn line_feeds_are_refused() {
    for format in ["%n", "%-5n", "%En", "a%On"] {
        assert_eq!(
            TimeFormat::parse(format, Zone::Utc).map(|_| ()),
            Err(LineFeed),
            "{format}"
        );
    }
}
