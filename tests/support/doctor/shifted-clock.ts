/** Loaded before the service by `--import`: its clock is two minutes ahead. */
const AHEAD_MS = 120_000;
const realNow = Date.now;
Date.now = () => realNow() + AHEAD_MS;
