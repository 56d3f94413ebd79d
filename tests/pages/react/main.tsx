/** A page around the guide's hook: shows what it returns and keeps what it hands to `onMessage`. */

// The guide's text itself; the build of the test puts it here.
import { useSSEConnection } from 'virtual:guide-hook.ts';
import { useCallback } from 'react';
import { createRoot } from 'react-dom/client';

const query = new URLSearchParams(location.search);
window.handed = [];

function Page() {
  const onMessage = useCallback((message) => window.handed.push(message), []);
  const { connectionStatus, messages } = useSSEConnection({
    userId: query.get('user') ?? '',
    messageServiceUrl: query.get('service') ?? '',
    onMessage,
  });
  return (
    <main>
      <h1>
        Connection: <output id="status">{connectionStatus}</output>
      </h1>
      <ol>
        {messages
          .filter((message) => message.type !== 'connection')
          .map((message) => (
            <li key={message.id} data-number={message.data.number}>
              {message.type}: {message.data.message}
            </li>
          ))}
      </ol>
    </main>
  );
}

createRoot(document.getElementById('root')).render(<Page />);
