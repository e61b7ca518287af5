#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Waits until a Deployment's spec.replicas is more than it should be, and prints how long after an instant that was, in seconds.
Usage: replicas.py --ca F --cert F --key F --name NAME --above N --since NANOSECONDS [--limit SECONDS]"""
import argparse
import http.client
import json
import ssl
import sys
import time

parser = argparse.ArgumentParser()
for name in ('--ca', '--cert', '--key', '--name'):
    parser.add_argument(name, required=True)
parser.add_argument('--above', type=int, required=True)
parser.add_argument('--since', type=int, required=True)
parser.add_argument('--limit', type=float, default=120)
args = parser.parse_args()

context = ssl.create_default_context(cafile=args.ca)
context.load_cert_chain(args.cert, args.key)
connection = http.client.HTTPSConnection('127.0.0.1', 6443, timeout=10, context=context)
while True:
    connection.request('GET', f'/apis/apps/v1/namespaces/default/deployments/{args.name}')
    reply = json.loads(connection.getresponse().read())
    passed = time.time() - args.since / 1e9
    if reply['spec']['replicas'] > args.above:
        print(f'{passed:.2f}')
        break
    if passed > args.limit:
        sys.exit(f'{args.name} still has {reply["spec"]["replicas"]} replicas after {passed:.0f} s')
    time.sleep(0.03)
