/** Loaded before the service by `--import`: sockets cannot share a port, as on systems without SO_REUSEPORT. */
import { Server } from 'node:net';

const listenAsItIs = Reflect.get(Server.prototype, 'listen') as Server['listen'];
Server.prototype.listen = function refusing(this: Server, ...args: unknown[]): Server {
  const [options] = args as [{ reusePort?: boolean }];
  if (options.reusePort !== true) return Reflect.apply(listenAsItIs, this, args) as Server;
  queueMicrotask(() => this.emit('error', Object.assign(new Error('ENOTSUP'), { code: 'ENOTSUP' })));
  return this;
} as typeof listenAsItIs;
