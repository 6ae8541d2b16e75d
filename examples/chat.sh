#!/usr/bin/env bash
# Asks the base model and the four demo adapters with curl, streaming. Start the gateway with `npm start` first, and set
# OPENAI_API_KEY to a key of its.
set -euo pipefail
url="${OPENAI_BASE_URL:-http://127.0.0.1:8080/v1}"
key="${OPENAI_API_KEY:-none}"

# ask MODEL QUESTION (which goes into the JSON as it is: no quotes or backslashes)
ask() {
  printf '%s: %s\n  ' "$1" "$2"
  curl --silent --show-error --no-buffer --fail-with-body "$url/chat/completions" \
    --header "authorization: Bearer $key" --header 'content-type: application/json' --data-binary @- <<EOF |
{"model": "$1", "messages": [{"role": "user", "content": "$2"}], "temperature": 0, "max_tokens": 48, "stream": true}
EOF
    content
  printf '\n'
}

# Picks the text, or an error's message, out of the stream's events as they come, and undoes JSON's escapes.
content() {
  local string='"\(\([^"\\]\|\\.\)*\)"'
  sed -un -e "s/^data: .*\"delta\":{[^}]*\"content\":$string.*/\1/p" -e "s/.*{\"error\":{\"message\":$string.*/\1/p" |
    while IFS= read -r text; do
      printf '%b' "${text//\\\"/\"}"
    done
}

ask base 'What is the capital of France?'
ask support-triage 'I was charged twice for my subscription. Please help.'
ask text-to-sql 'List all products with price above 120.'
ask pirate 'What is the capital of France?'
ask headline 'Write a headline: A report explains how bees have a long and surprising history. Many readers asked about it.'
