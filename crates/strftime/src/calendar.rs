//! From seconds to a date: the proleptic Gregorian calendar.

/// A second, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    /// 1 to 12
    pub(super) month: u32,
    /// 1 to 31
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    /// 0 (Sunday) to 6
    pub(super) weekday: u32,
    /// 0 to 365
    pub(super) yearday: u32,
}

impl Civil {
    /// The date and time of day, `seconds` after 1970-01-01 00:00 of the same clock.
    pub(super) fn from_seconds(seconds: i64) -> Civil {
        let (days, of_day) = (
            seconds.div_euclid(86_400),
            seconds.rem_euclid(86_400) as u32,
        );
        // Years are counted from the first of March, so that the leap day comes last, in eras of 400 years
        // (H. Hinnant, "chrono-compatible low-level date algorithms").
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
        let month = (if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        }) as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Civil {
            year,
            month,
            day,
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            weekday: (days + 4).rem_euclid(7) as u32,
            yearday: days_before_month(year, month) + day - 1,
        }
    }

    /// The week of the year whose first week begins with its first `first` day (0: Sunday, `%U`; 1: Monday, `%W`).
    pub(super) fn week(&self, first: u32) -> u32 {
        (self.yearday + 7 - (self.weekday + 7 - first) % 7) / 7
    }

    /// Year and week of ISO 8601 (`%G`, `%V`).
    pub(super) fn iso_week(&self) -> (i64, u32) {
        // The week belongs to the year that its Thursday is in.
        let thursday = i64::from(self.yearday) + 3 - i64::from((self.weekday + 6) % 7);
        let days = days_in_year(self.year);
        if thursday < 0 {
            let thursday = thursday + days_in_year(self.year - 1);
            (self.year - 1, (thursday / 7 + 1) as u32)
        } else if thursday >= days {
            (self.year + 1, ((thursday - days) / 7 + 1) as u32)
        } else {
            (self.year, (thursday / 7 + 1) as u32)
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_year(year: i64) -> i64 {
    365 + i64::from(is_leap(year))
}

fn days_before_month(year: i64, month: u32) -> u32 {
    const BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    BEFORE[month as usize - 1] + u32::from(month > 2 && is_leap(year))
}
