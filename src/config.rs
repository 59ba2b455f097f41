//! Settings, themes, fleet and manifest files: text to plain typed data with positions.
