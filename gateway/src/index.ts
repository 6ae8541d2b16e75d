export { createApp } from './app.ts';
export type {
  Backend,
  BackendEvent,
  BackendModel,
  BackendRequest,
  BackendStats,
} from './backends/backend.ts';
export { withCategories } from './cache/categories/reference.ts';
export { configurationPage, errorsPage, metricsPage, openaiApiPage } from './reference.ts';
export type { GatewayDeps } from './routes/deps.ts';
