//! One Job of ours from spec to proven gone.
