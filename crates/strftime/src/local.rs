//! The machine's time zone, asked of the C library: the only `unsafe` of this crate.
#![expect(unsafe_code, reason = "localtime_r is a foreign function")]

use std::borrow::Cow;
use std::ffi::CStr;
use std::mem::MaybeUninit;

/// How local time differs from UTC in one second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    /// Seconds east of Greenwich.
    pub(super) seconds: i32,
    /// Abbreviation (`CET`).
    pub(super) name: Cow<'static, str>,
}

impl Offset {
    pub(super) const UTC: Offset = Offset {
        seconds: 0,
        name: Cow::Borrowed("UTC"),
    };
}

/// The zone of the machine (`TZ`, `/etc/localtime`) at this second; UTC when the second is out of range.
pub(super) fn offset_at(second: i64) -> Offset {
    let mut parts = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are valid for the call; localtime_r writes the whole struct when it returns non-null.
    // It reads the environment under the C library's own lock; this program never changes its environment after
    // the start, when there is one thread.
    let filled = unsafe { !libc::localtime_r(&second, parts.as_mut_ptr()).is_null() };
    if !filled {
        return Offset::UTC;
    }
    // SAFETY: filled in above.
    let parts = unsafe { parts.assume_init() };
    let name = if parts.tm_zone.is_null() {
        Cow::Borrowed("")
    } else {
        // SAFETY: tm_zone is a NUL-terminated string of the C library's zone tables, which live until the zone is
        // changed by tzset; nobody does that, and the text is copied at once.
        unsafe { CStr::from_ptr(parts.tm_zone) }
            .to_string_lossy()
            .into_owned()
            .into()
    };
    Offset {
        seconds: i32::try_from(parts.tm_gmtoff).unwrap_or(0),
        name,
    }
}
