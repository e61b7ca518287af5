#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks kube-apiserver for metrics.k8s.io over one kept connection, ten times a second, until SIGTERM or --seconds; counts what fails and how long each outage lasts.

Prints a line for each outage and, at the end, `figure NAME VALUE UNIT` lines.
"""
import argparse
import http.client
import signal
import ssl
import time


def main():
    p = argparse.ArgumentParser()
    for name in ('host', 'ca', 'cert', 'key'):
        p.add_argument('--' + name, required=True)
    p.add_argument('--port', type=int, default=6443)
    p.add_argument('--seconds', type=int, required=True)
    args = p.parse_args()
    context = ssl.create_default_context(cafile=args.ca)
    context.load_cert_chain(args.cert, args.key)
    paths = ['nodes', 'pods', 'namespaces/default/pods?labelSelector=app%3Dlong', '']
    ended = False

    def end(*_):
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    connection, asked, failed, outage, longest, worst = None, 0, 0, None, 0.0, 0.0
    start = time.monotonic()
    while not ended and time.monotonic() - start < args.seconds:
        began = time.monotonic()
        try:
            if connection is None:
                connection = http.client.HTTPSConnection(args.host, args.port, context=context, timeout=10)
            connection.request('GET', '/apis/metrics.k8s.io/v1beta1/' + paths[asked % len(paths)])
            reply = connection.getresponse()
            body = reply.read()
            problem = None if reply.status == 200 else f'{reply.status} {body[:120]!r}'
        except (OSError, http.client.HTTPException) as e:
            connection, problem = None, repr(e)
        asked += 1
        took = time.monotonic() - began
        if problem:
            failed += 1
            if outage is None:
                outage = began
                print(f'{began - start:7.1f} s  fails: {problem}', flush=True)
        else:
            worst = max(worst, took)
            if outage is not None:
                longest = max(longest, time.monotonic() - outage)
                print(f'{time.monotonic() - start:7.1f} s  answers again after {time.monotonic() - outage:.1f} s', flush=True)
                outage = None
        time.sleep(max(0.0, 0.1 - took))
    print(f'figure requests {asked} count')
    print(f'figure requests_failed {failed} count')
    print(f'figure longest_outage {longest:.2f} s')
    print(f'figure slowest_reply {worst * 1000:.0f} ms')


main()
