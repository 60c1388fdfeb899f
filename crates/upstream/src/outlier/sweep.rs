//! Which success rates are too low.

/// Mean of success rates in percent, and the rate below which a host is an outlier: `factor` standard deviations under the mean
/// (Envoy's `successRateEjectionThreshold`).
pub(super) fn ejection_threshold(rates: &[f64], factor: f64) -> (f64, f64) {
    let count = rates.len() as f64;
    let mean = rates.iter().sum::<f64>() / count;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
    (mean, mean - factor * variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_lies_some_deviations_under_the_mean() {
        let (mean, threshold) = ejection_threshold(&[50.0, 100.0, 100.0, 100.0, 100.0], 1.9);
        assert_eq!(mean, 90.0);
        assert!((threshold - 52.0).abs() < 1e-9, "{threshold}");
        assert_eq!(ejection_threshold(&[100.0; 3], 1.9), (100.0, 100.0));
    }
}
