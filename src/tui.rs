//! The console: `update(model, msg) -> effects`, `present(model, now) -> Screen`, `render(screen) -> cells`.
