/** The process that {@link startLocalEndpointProcess} starts: an endpoint, ruled by messages from its parent. */

import type { ChildAnswer, ChildCall } from './child.ts';
import { type LocalEndpoint, startLocalEndpoint } from './index.ts';

let endpoint: LocalEndpoint | undefined;

async function carryOut(call: ChildCall): Promise<unknown> {
  if (call.method === 'start') {
    endpoint = await startLocalEndpoint(call.options);
    const { port, endpoint: url, region, accountId, credentials, dir, ca } = endpoint;
    return { port, endpoint: url, region, accountId, credentials, dir, ca };
  }
  if (endpoint === undefined) throw new Error('the endpoint was not started');
  const { requests, faults } = endpoint;
  switch (call.method) {
    case 'requests':
      await requests.settled();
      return requests.all(call.operation);
    case 'clearRequests':
      await requests.settled();
      requests.clear();
      return undefined;
    case 'setFaults':
      faults.set(call.rules);
      return undefined;
    case 'hits':
      return faults.installed.map((fault) => fault.hits);
    case 'close':
      await endpoint.close(call.graceMs === undefined ? {} : { graceMs: call.graceMs });
      return undefined;
  }
}

process.on('message', (message: { readonly id: number; readonly call: ChildCall }) => {
  const answer = (result: ChildAnswer): void => {
    // A parent that is gone needs no answer; 'disconnect' below ends this process.
    if (process.connected) process.send?.(result);
  };
  carryOut(message.call).then(
    (value) => {
      answer({ id: message.id, value });
      if (message.call.method === 'close') process.disconnect();
    },
    (problem: unknown) => {
      const { name, message: text, code } = problem as NodeJS.ErrnoException;
      answer({ id: message.id, problem: { name, message: text, ...(code === undefined ? {} : { code }) } });
    },
  );
});

// Nobody can stop it any more once its parent is gone.
process.on('disconnect', () => {
  void (endpoint?.close({ graceMs: 0 }) ?? Promise.resolve()).finally(() => process.exit(0));
});
