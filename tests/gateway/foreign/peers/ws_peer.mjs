// The npm library `ws` as a server that echoes, or as a client that says what it saw.
//   node ws_peer.mjs FOLDER_OF_NODE_MODULES serve | node ws_peer.mjs FOLDER talk URL
import { createRequire } from "node:module";

const [, , folder, role, url] = process.argv;
const { WebSocket, WebSocketServer } = createRequire(folder + "/")("ws");

if (role === "serve") {
  const server = new WebSocketServer({
    host: "127.0.0.1", port: 0, perMessageDeflate: true, maxPayload: 1 << 24,
    handleProtocols: (protocols) => (protocols.has("echo.2") ? "echo.2" : false),
  });
  server.on("listening", () => console.log(server.address().port));
  server.on("connection", (socket, request) => {
    socket.send(`hello ${request.url}`);
    socket.on("message", (data, binary) => {
      if (!binary && data.toString() === "close, please") socket.close(4001, "as asked");
      else socket.send(data, { binary });
    });
  });
} else {
  const said = [];
  const socket = new WebSocket(url, ["echo.1", "echo.2"], { perMessageDeflate: true });
  const large = Buffer.alloc(1_000_000, 7);
  socket.on("open", () => {
    said.push(`protocol ${socket.protocol}`, `extensions ${socket.extensions.split(";")[0]}`);
    socket.send("text é");
    socket.send(Buffer.from([0, 255, 13, 10]));
    socket.send("frag", { fin: false });
    socket.send("mented", { fin: true });
    socket.send(large);
    socket.ping("are you there");
  });
  socket.on("pong", (data) => said.push(`pong ${data}`));
  let messages = 0;
  socket.on("message", (data, binary) => {
    messages += 1;
    said.push(binary ? `binary ${data.length} ${data.subarray(0, 4).toString("hex")}` : `text ${data}`);
    if (messages === 5) socket.send("close, please");
  });
  socket.on("close", (code, reason) => {
    said.push(`close ${code} ${reason}`);
    console.log(JSON.stringify(said.sort()));
  });
  socket.on("error", (error) => { console.error(String(error)); process.exit(1); });
}
