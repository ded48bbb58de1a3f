/** The sink's process: started by {@link startOwnSink} alone, which it does not outlive. */
import { startSink } from './sink-server.ts';

const { port, ca } = await startSink({ tls: process.argv.includes('--tls') });
process.once('disconnect', () => process.exit(0));
process.send?.({ port, ca });
