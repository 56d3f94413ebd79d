/** Loaded before the service, it makes this system one that cannot share a port between sockets. */
import { Server } from 'node:net';

const listenAsItIs = Reflect.get(Server.prototype, 'listen') as Server['listen'];
Server.prototype.listen = function refusing(this: Server, ...args: unknown[]): Server {
  const [options] = args as [{ reusePort?: boolean }];
  if (options.reusePort !== true) return Reflect.apply(listenAsItIs, this, args) as Server;
  queueMicrotask(() => this.emit('error', Object.assign(new Error('ENOTSUP'), { code: 'ENOTSUP' })));
  return this;
} as typeof listenAsItIs;
