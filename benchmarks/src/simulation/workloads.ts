import type { TraceOptions } from './trace.ts';

const MIXED: TraceOptions = {
  requests: 6000,
  sessionsPerSecond: 0.27,
  bursts: null,
  tenants: [1, 1, 1, 1, 2, 2, 4, 4],
  adapters: 64,
  adapterSkew: 1,
  driftSeconds: null,
  baseShare: 0.2,
  conversationShare: 0.4,
  oneOffShare: 0.1,
  turns: 4,
  thinkSeconds: 30,
  system: { median: 200, spread: 0.7, most: 1500 },
  question: { median: 50, spread: 0.9, most: 1000 },
  document: { median: 1500, spread: 0.5, most: 6000 },
  answer: { median: 60, spread: 0.7, most: 512 },
};

/** What is simulated: a name for each, and what users do in it. */
export const WORKLOADS = {
  mixed: MIXED,
  bursty: { ...MIXED, bursts: { factor: 4, seconds: 30, every: 300 }, sessionsPerSecond: 0.2 },
  conversations: {
    ...MIXED,
    adapters: 16,
    conversationShare: 0.9,
    oneOffShare: 0,
    turns: 6,
    sessionsPerSecond: 0.08,
  },
  documents: { ...MIXED, oneOffShare: 0.35, sessionsPerSecond: 0.2 },
  'many adapters': {
    ...MIXED,
    adapters: 400,
    conversationShare: 0,
    oneOffShare: 0,
    sessionsPerSecond: 1,
  },
  'equally often': { ...MIXED, adapterSkew: 0 },
  'moving popularity': { ...MIXED, driftSeconds: 600 },
} as const satisfies Record<string, TraceOptions>;

export type Workload = keyof typeof WORKLOADS;
