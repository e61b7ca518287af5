#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second kubelet-like end point for the e2e tests: TLS with whatever certificate it is given, client certificates required, the paths of an old (--only-summary) or a
new kubelet. Its node uses a quarter of a core and 512 MiB.
"""
import argparse
import datetime
import http.server
import json
import ssl
import time

START = time.time() - 100
MEMORY = 512 << 20


def cpu_ns(now):
    return int((now - START) * 0.25 * 1e9)


def summary(now):
    at = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.%fZ')
    return json.dumps({'node': {'nodeName': 'node2', 'cpu': {'time': at, 'usageNanoCores': 250000000, 'usageCoreNanoSeconds': cpu_ns(now)},
                                'memory': {'time': at, 'workingSetBytes': MEMORY}}, 'pods': []})


def resource(now):
    ms = int(now * 1000)
    return f'node_cpu_usage_seconds_total {cpu_ns(now) / 1e9} {ms}\nnode_memory_working_set_bytes {MEMORY} {ms}\nscrape_error 0\n'


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        now = time.time()
        body = None
        if self.path.startswith('/stats/summary'):
            body, kind = summary(now), 'application/json'
        elif self.path == '/metrics/resource' and not self.server.only_summary:
            body, kind = resource(now), 'text/plain; version=0.0.4'
        status = 200 if body else 404
        data = (body or '404 page not found\n').encode()
        self.send_response(status)
        self.send_header('Content-Type', kind if body else 'text/plain')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main():
    p = argparse.ArgumentParser()
    for name in ('address', 'cert', 'key', 'client-ca'):
        p.add_argument('--' + name, required=True)
    p.add_argument('--port', type=int, required=True)
    p.add_argument('--only-summary', action='store_true')
    args = p.parse_args()
    server = http.server.ThreadingHTTPServer((args.address, args.port), Handler)
    server.only_summary = args.only_summary
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.cert, args.key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(args.client_ca)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


main()
