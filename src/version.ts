// The version of this agent: served in /v1/status, sent with each heartbeat and printed by --version.
// Conductors store it and some parse it, so it stays three numbers with dots. package.json repeats it; a test compares.

export const AGENT_VERSION = "0.4.0";
