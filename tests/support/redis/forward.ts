/**
 * A program that forwards connections to `SERVICE_PORT` on 127.0.0.1 to the same port of the address in its argument.
 * It stands for a service on another host.
 */
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const [, , address = ''] = process.argv;
const port = Number(process.env['SERVICE_PORT']);
const server = createServer({ noDelay: true }, (client) => {
  const target = connect({ port, host: address, noDelay: true });
  client.pipe(target).pipe(client);
  client.on('error', () => target.destroy());
  target.on('error', () => client.resetAndDestroy());
  client.on('close', () => target.destroy());
  target.on('close', () => client.destroy());
});
// The forwarder of the previous process may not have released the port yet.
server.on('error', () => void delay(20).then(() => server.listen(port, '127.0.0.1')));
server.listen(port, '127.0.0.1');
