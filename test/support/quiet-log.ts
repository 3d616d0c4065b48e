import { pino } from 'pino';

/** The logger of tests: silent, unless QUARRY_TEST_LOG names a level; writes to stderr. */
export const quietLog = pino(
  { level: process.env.QUARRY_TEST_LOG || 'silent' },
  pino.destination({ fd: 2, sync: true }),
);
