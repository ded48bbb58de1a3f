/** Undici's agent, loaded when it is worth it. */
import { createRequire } from 'node:module';
import type { Agent } from 'undici';

type AgentClass = typeof Agent;

/**
 * Requests of this process that do without: loading takes some 15 ms and 7 MiB, which a handful of large objects would have
 * nothing of.
 */
const loadedAfter = 8;

let agentClass: AgentClass | undefined;
let wanted = 0;

/** The class of agents once a request is worth one; undefined for the first few that ask. */
export function wantTransport(): AgentClass | undefined {
  wanted += 1;
  return agentClass ?? (wanted > loadedAfter ? loadTransport() : undefined);
}

/** Loads it now. */
export function loadTransport(): AgentClass {
  // The agent's file alone: the package's main file brings fetch, WebSocket, caches and mocks along, four times as long to load.
  agentClass ??= createRequire(import.meta.url)('undici/lib/dispatcher/agent.js') as AgentClass;
  return agentClass;
}
