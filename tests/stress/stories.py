"""Orders of events in which a promise did not hold once, by name."""

from __future__ import annotations

from stress.story import Story

_TEXTS = {
    # Where something stood still.
    "both-directions-full": """
        legacy
        hello
        cork
        ask method="resources/read" id=1 uri="u" do=["big 3000000"]
        ask method="resources/read" id=2 uri="v" do=["big 3000000"]
        ask method="resources/read" id=3 uri="w" do=["big 3000000"]
        ask method="tools/call" id=4 size=5000000
        uncork
    """,
    "both-directions-full-after-a-cut": """
        legacy
        hello
        refuse seconds=0.8
        cut
        sleep ms=100
        ask method="resources/read" id=1 uri="u" do=["big 3000000"]
        ask method="resources/read" id=2 uri="v" do=["big 3000000"]
        ask method="resources/read" id=3 uri="w" do=["big 3000000"]
        ask method="tools/call" id=4 size=5000000
    """,
    "both-directions-full-behind-a-shell-request": """
        modern shell
        ask method="resources/read" id=1 uri="u" do=["big 3000000"]
        ask method="resources/read" id=2 uri="v" do=["big 3000000"]
        ask method="resources/read" id=3 uri="w" do=["big 3000000"]
        ask method="tools/call" id=4 size=5000000
    """,
    "both-directions-full-while-the-host-pauses": """
        legacy
        hello
        pause
        ask method="resources/read" id=1 uri="u" do=["big 3000000"]
        ask method="resources/read" id=2 uri="v" do=["big 3000000"]
        ask method="tools/call" id=3 size=5000000
        sleep ms=500
    """,
    "a-child-keeps-stdout": """
        legacy
        hello
        ask method="tools/call" id=1 do=["child"]
        ask method="resources/read" id=2 uri="u"
        must_answer id=1 seconds=3
        must_answer id=2 seconds=3
    """,
    "a-child-keeps-stdout-of-a-server-that-is-killed": """
        modern
        hello
        ask method="subscriptions/listen" id=1
        ask method="resources/read" id=2 uri="u" do=["child"]
    """,
    "a-progress-bar-before-an-answer": """
        legacy
        hello
        ask method="tools/call" id=1 do=["spell carriage-return"]
        ask method="resources/read" id=2 uri="u" do=["spell osc"]
        ask method="tools/call" id=3 do=["spell prompt"]
        ask method="tools/call" id=4 do=["spell trailer"]
    """,
    "answers-that-are-no-json": """
        legacy
        hello
        ask method="tools/call" id=1 do=["spell latin-1"]
        ask method="tools/call" id=2 do=["spell bom"]
        ask method="tools/call" id=3 do=["spell nan"]
        ask method="tools/call" id=4 do=["spell control"]
        ask method="tools/call" id=5 do=["spell surrogate"]
        ask method="tools/call" id=6 do=["spell cut-off"]
        ask method="tools/call" id=7 do=["spell text-id"]
    """,
    "the-host-leaves-while-the-remote-does-not-read": """
        legacy
        hello
        remote do="deaf" seconds=2.8
        flood count=60 size=200000
        leave
    """,
    "the-host-leaves-while-it-does-not-read": """
        legacy
        hello
        ask method="resources/read" id=1 uri="u" do=["big 12000000"]
        pause
        sleep ms=300
        leave
    """,
    "a-request-longer-than-the-limit": """
        legacy --max-message-size 100000
        hello
        ask method="tools/call" id=1 do=["hold"]
        ask method="tools/call" id=2 size=200000
        ask method="resources/read" id=3 uri="u"
    """,
    "a-long-first-request-after-a-reconnect-to-a-shell": """
        modern shell
        hello
        cut
        ask method="tools/call" id=1 size=2000000 fill="é"
        ask method="resources/read" id=2 uri="u"
    """,
    "concurrent-calls-behind-a-shell-request": """
        modern shell
        ask method="tools/call" id=1 do=["hold"]
        ask method="tools/call" id=2
        must_answer id=2 seconds=5
    """,
    "a-first-call-behind-a-shell-request-is-called-back": """
        modern shell
        ask method="tools/call" id=1 do=["hold"]
        wait_heard id=1 seconds=5
        cancel id=1
        ask method="tools/call" id=2
        must_answer id=2 seconds=3
    """,
    # Called back.
    "called-back-while-held": """
        legacy
        hello
        refuse seconds=0.8
        cut
        sleep ms=100
        ask method="tools/call" id=1
        ask method="resources/read" id=2 uri="u"
        cancel id=1
        cancel id=2
    """,
    "called-back-and-then-the-connection-is-lost": """
        legacy
        hello
        ask method="tools/call" id=1 do=["hold"]
        ask method="resources/read" id=2 uri="u" do=["hold"]
        wait_heard id=2
        cancel id=1
        cancel id=2
        ask method="ping" id=3
        wait
        cut
    """,
    "called-back-and-then-the-connection-is-lost-with-retries": """
        legacy --retry-tool-calls
        hello
        ask method="tools/list" id=1
        wait
        ask method="tools/call" id=2 tool="reader" do=["hold"]
        wait_heard id=2
        cancel id=2
        ask method="ping" id=3
        wait
        cut
    """,
    "called-back-while-the-connection-is-away": """
        legacy
        hello
        ask method="tools/call" id=1 do=["hold"]
        ask method="resources/read" id=2 uri="u" do=["hold"]
        wait_heard id=2
        refuse seconds=0.8
        cut
        sleep ms=200
        cancel id=2
        sleep ms=100
    """,
    "called-back-and-answered-all-the-same": """
        legacy
        hello
        ask method="tools/call" id=1 do=["hold", "stubborn"]
        ask method="resources/read" id=2 uri="u" do=["hold", "stubborn"]
        wait_heard id=2
        cancel id=1
        cancel id=2
    """,
    "a-subscription-ends-while-the-connection-is-away": """
        modern
        hello
        ask method="subscriptions/listen" id=1
        ask method="resources/read" id=2 uri="u"
        wait
        refuse seconds=0.8
        cut
        sleep ms=200
        cancel id=1
        sleep ms=200
    """,
    "a-subscription-waits-longer-than-requests-do": """
        modern --hold-timeout 0.3
        hello
        ask method="subscriptions/listen" id=1
        wait_heard id=1
        refuse seconds=0.9
        cut
        sleep ms=1000
    """,
    "a-subscription-is-begun-while-the-connection-is-away": """
        modern --hold-timeout 30
        hello
        refuse seconds=0.8
        cut
        sleep ms=200
        ask method="subscriptions/listen" id=1
        cancel id=1
        ask method="subscriptions/listen" id=2
    """,
    # Restored.
    "a-subscribe-in-flight-at-a-cut": """
        legacy
        hello
        ask method="resources/subscribe" id=1 uri="u" token="t" do=["hold"]
        wait_heard id=1
        cut
    """,
    "an-answered-subscribe-with-a-progress-token": """
        legacy
        hello
        ask method="resources/subscribe" id=1 uri="u" token="t"
        wait
        cut
    """,
    "a-level-that-was-answered-behind-one-that-was-not": """
        legacy
        hello
        ask method="logging/setLevel" id=1 level="warning" do=["hold"]
        ask method="logging/setLevel" id=2 level="debug"
        wait
        cut
    """,
    "an-unsubscribe-that-was-answered-before-its-subscribe": """
        legacy
        hello
        ask method="resources/subscribe" id=1 uri="u" do=["hold"]
        ask method="resources/unsubscribe" id=2 uri="u"
        wait
        cut
    """,
    "a-level-that-is-set-while-the-connection-is-away": """
        legacy
        hello
        ask method="logging/setLevel" id=1 level="warning"
        wait
        refuse seconds=0.8
        cut
        sleep ms=100
        ask method="logging/setLevel" id=2 level="debug"
        ask method="resources/subscribe" id=3 uri="u"
    """,
    "a-level-is-restored-and-the-answer-is-broken": """
        legacy
        hello
        ask method="logging/setLevel" id=1 level="alert" do=["spell cut-off"]
        remote do="die" status=1
    """,
    "a-discover-is-repeated-and-the-answer-is-broken": """
        modern
        hello
        ask method="resources/read" id=1 uri="u" do=["die 3 once"]
        ask method="server/discover" id=2 do=["spell cut-off"]
        must_answer id=1 seconds=5
    """,
    "a-discover-with-a-progress-token": """
        modern
        ask method="server/discover" id="hello" token="t"
        wait seconds=10
        cut
    """,
    "two-cuts-while-the-state-is-restored": """
        legacy
        hello
        ask method="resources/subscribe" id=1 uri="u"
        ask method="logging/setLevel" id=2 level="debug"
        wait
        cut
        wait_born count=2
        cut
        ask method="resources/read" id=3 uri="u"
    """,
    # Given up too soon, or never.
    "a-reboot": """
        legacy --connect-timeout 1
        hello
        sleep ms=1600
        remote do="die" status=255
        sleep ms=40
        refuse seconds=1.2
        cut
        ask method="resources/read" id=1 uri="u"
    """,
    "the-server-is-not-up-yet-after-a-reconnect": """
        legacy
        hello
        fate count=3 exit=254 print="System is booting up\\n"
        cut
        ask method="resources/read" id=1 uri="u"
        wait_born count=5
    """,
    "the-command-is-not-there-yet-after-a-restart": """
        modern
        hello
        fate count=2 exit=127
        kill
        ask method="resources/read" id=1 uri="u"
        wait_born count=4
    """,
    "a-read-that-ends-the-remote-each-time": """
        legacy
        hello
        ask method="resources/read" id=1 uri="u" do=["die 3"]
        wait seconds=5
        ask method="tools/call" id=2
        wait seconds=5
    """,
    "a-read-that-ends-the-remote-each-time-in-the-newer-era": """
        modern
        hello
        ask method="subscriptions/listen" id=1
        ask method="resources/read" id=2 uri="u" do=["die 3"]
        wait seconds=5
        ask method="tools/call" id=3
        wait seconds=5
    """,
    "one-probe-may-be-unanswered": """
        legacy --no-reconnect --keepalive 1 --keepalive-count 1
        hello
        sleep ms=2500
        ask method="tools/call" id=1
    """,
    "frozen-and-noticed": """
        legacy --keepalive 0.4 --keepalive-count 2
        hello
        ask method="tools/call" id=1 do=["hold"]
        ask method="resources/read" id=2 uri="u" do=["hold"]
        wait_heard id=2
        freeze
        wait_born count=2
    """,
    "a-remote-that-is-slow-to-begin": """
        legacy
        fate delay=2.5
        hello
    """,
    "the-remote-ends-between-two-messages": """
        legacy
        hello
        remote do="die" status=0
        ask method="tools/call" id=1
        wait
        kill
        ask method="resources/read" id=2 uri="u"
    """,
    # Batches (2025-03-26), and results that want more (2026-07-28).
    "a-batch-calls-its-own-request-back-while-the-connection-is-away": """
        legacy
        hello
        refuse seconds=0.5
        cut
        sleep ms=200
        batch
        ask method="tools/call" id=1
        ask method="resources/read" id=2 uri="u"
        ask method="tools/list" id=3
        cancel id=2
        cancel id=1
        unbatch
        sleep ms=800
    """,
    "a-batch-that-sets-a-state-as-the-connection-is-lost": """
        legacy
        hello
        cut
        batch
        ask method="resources/subscribe" id=1 uri="u"
        ask method="logging/setLevel" id=2 level="warning"
        ask method="tools/call" id=3
        unbatch
        ask method="logging/setLevel" id=4 level="debug"
    """,
    "a-batch-is-answered-in-two": """
        legacy
        hello
        batch
        ask method="tools/call" id=1 do=["hold"]
        ask method="resources/read" id="1" uri="u" do=["hold"]
        ask method="tools/call" id=2
        tell
        unbatch
        wait_heard id=2
        release together=true
        wait
        cut fin=true
    """,
    "the-answer-to-a-harmless-call-is-too-long": """
        modern --retry-tool-calls --max-message-size 100000
        hello
        ask method="tools/list" id=1
        wait
        ask method="tools/call" id=2 tool="setter" do=["big 3000000"]
        ask method="resources/read" id="id-3" uri="w"
    """,
    "more-is-wanted-and-the-connection-is-closed": """
        modern
        hello
        ask method="tools/call" id=1 do=["input 2"]
        ask method="resources/read" id=2 uri="u" do=["input 1"]
        wait
        answer
        cut fin=true
        answer
    """,
    # Said of a request that had been sent.
    "a-harmless-call-waits-for-the-connection-and-the-host-leaves": """
        legacy --retry-tool-calls
        hello
        ask method="tools/list" id=1
        wait
        ask method="tools/call" id=2 tool="reader" do=["hold"]
        wait_heard id=2
        refuse seconds=9
        cut
        sleep ms=300
        leave
    """,
    # Where the remote is kept.
    "all-is-in-flight-and-the-connection-is-cut-again-and-again": """
        legacy --keep 60 --hold-timeout 0.3
        hello
        ask method="tools/call" id=1 do=["hold"]
        ask method="tools/call" id=2 do=["ask elicitation/create"]
        ask method="tools/call" id=3 do=["big 3000000"]
        ask method="tools/call" id=4 size=3000000
        cut
        ask method="resources/subscribe" id=5 uri="u"
        refuse seconds=0.9
        cut
        ask method="tools/call" id=6
        cancel id=1
        sleep ms=1200
        remote do="notify" count=3
        kill_session
        wait_asked
        answer
    """,
    "the-keeper-is-killed": """
        legacy --keep 60
        hello
        ask method="tools/call" id=1 do=["hold"]
        ask method="resources/read" id=2 uri="u" do=["hold"]
        wait_heard id=2
        kill_keeper
        must_answer id=1 seconds=5
    """,
    "a-kept-remote-is-away-for-longer-than-it-is-kept": """
        modern --keep 1
        hello
        ask method="tools/call" id=1 do=["hold"]
        wait_heard id=1
        refuse seconds=2.5
        cut
        must_answer id=1 seconds=10
    """,
    "the-host-leaves-and-a-kept-remote-has-something-to-say": """
        legacy --keep 60
        hello
        remote do="deaf" seconds=0.3
        ask method="tools/call" id=1 do=["big 300000"]
        leave
    """,
    # Where the host and the server share no era.
    "a-call-is-lost-before-the-era-of-the-server-is-known": """
        modern bridged=strict
        fate delay=0.8
        hello wait=false
        ask method="tools/call" id=1
        wait_born count=1
        sleep ms=300
        cut
        must_answer id="hello" seconds=15
        ask method="subscriptions/listen" id=2 uris=["u"]
    """,
    "a-discover-fails-behind-the-first-request-of-a-modern-host": """
        modern bridged=lax
        ask method="tools/list" id="hello" do=["hold"]
        ask method="server/discover" id=1
        wait_heard id="hello" seconds=20
        sleep ms=300
        release
    """,
    "what-was-sent-before-the-era-was-known-goes-first": """
        modern bridged=strict --bridge modern
        fate hesitate=0.5
        hello wait=false
        ask method="tools/list" id=1
        wait_heard id="hello" refused=true seconds=20
        sleep ms=200
        ask method="tools/call" id=2
    """,
    "what-may-have-acted-fails-before-initialize": """
        modern bridged=lax
        ask method="vendor/do" id="hello" do=["error"]
        ask method="vendor/do" id=1 do=["error"]
        ask method="tools/list" id=2
    """,
    "the-level-of-a-request-that-was-sent-before-the-era-was-known": """
        modern bridged=lax --bridge modern
        hello wait=false
        ask method="tools/list" id=1 level="alert" do=["hold"]
        wait
        cut
        release
    """,
    "a-server-logs-before-its-era-is-known": """
        modern bridged=strict --bridge modern
        fate delay=0.5
        hello wait=false
        wait_born count=1 seconds=20
        remote do="notify" count=1
        must_answer id="hello" seconds=20
        remote do="notify" count=1
    """,
    "called-back-before-a-legacy-server-is-initialized": """
        modern bridged=lax --bridge modern
        hello wait=false
        ask method="resources/read" id=1 uri="u" do=["hold"]
        wait_heard id=1 seconds=20
        refuse seconds=0.8
        cut
        sleep ms=200
        ask method="resources/read" id=2 uri="v"
        cancel id=1
        cancel id=2
        sleep ms=100
    """,
    "servers-end-twice-before-a-legacy-one-is-initialized": """
        modern bridged=lax
        ask method="tools/list" id="hello"
        wait seconds=10
        fate count=2 exit=254
        kill
        ask method="resources/read" id=1 uri="u"
        wait_born count=4
    """,
    "a-legacy-server-that-exits-on-discover": """
        modern bridged=exits --bridge modern
        hello
        ask method="tools/call" id=1 do=["ask elicitation/create"]
        wait_asked
    """,
    "a-legacy-server-that-is-silent-on-discover": """
        modern bridged=silent --bridge modern
        hello
        ask method="tools/call" id=1 do=["ask elicitation/create"]
        wait_asked
        cut
    """,
    "a-subscribe-is-taken-back-before-the-server-has-heard-of-it": """
        legacy bridged=unsupported
        hello
        remote do="deaf" seconds=0.3
        ask method="resources/subscribe" id=1 uri="u"
        ask method="resources/subscribe" id=2 uri="v"
        ask method="resources/unsubscribe" id=3 uri="v"
    """,
    "the-subscription-of-a-modern-host-waits-longer-than-requests-do": """
        modern bridged=strict --hold-timeout 0.3
        hello
        refuse seconds=0.9
        cut
        sleep ms=100
        ask method="subscriptions/listen" id=1 uris=["u"]
        sleep ms=1000
    """,
    "what-waits-for-a-bridge-waits-no-longer-than-other-requests": """
        modern bridged=strict --hold-timeout 0.3
        fate hesitate=1.0
        hello wait=false
        wait_heard id="hello" refused=true seconds=20
        sleep ms=200
        refuse seconds=2.5
        cut
        ask method="tools/call" id=1
        ask method="subscriptions/listen" id=2
        must_answer id="hello" seconds=1
        must_answer id=1 seconds=1
    """,
    "the-host-leaves-between-two-rounds": """
        legacy bridged=unknown
        hello
        ask method="tools/call" id=1 do=["input 1 1"]
        wait_asked
        leave
    """,
    "a-second-round-waits-for-too-long": """
        legacy bridged=invalid --hold-timeout 0.3
        hello
        ask method="tools/call" id=1 do=["input 1 1"]
        wait_asked
        refuse seconds=0.9
        cut
        sleep ms=100
        answer
        sleep ms=1000
    """,
    "the-host-leaves-while-a-second-round-waits": """
        legacy bridged=unknown
        hello
        ask method="tools/call" id=1 do=["input 1 1"]
        wait_asked
        refuse seconds=9
        cut
        sleep ms=200
        answer
        sleep ms=100
        leave
    """,
    "the-second-round-is-lost": """
        legacy bridged=unsupported
        hello
        ask method="tools/call" id=1 do=["hold", "input 1 1"]
        wait_heard id=1
        release
        wait_asked
        answer
        sleep ms=100
        cut
    """,
    "a-question-is-open-as-the-connection-is-lost": """
        legacy bridged=unsupported
        hello
        ask method="tools/call" id=1 do=["input 2 2"]
        ask method="logging/setLevel" id=2 level="debug"
        ask method="resources/subscribe" id=3 uri="u"
        wait_asked count=2
        answer
        cut
        wait_born count=2
        answer
    """,
    "the-host-refuses-one-of-two-questions": """
        legacy bridged=unsupported
        hello
        ask method="tools/call" id=1 do=["input 1 2"]
        ask method="tools/call" id=2 do=["input 1 1"]
        wait_asked count=3
        answer refuse=true
        wait
    """,
    "pages-have-to-be-opened-first": """
        modern bridged=strict
        hello
        ask method="tools/call" id=1 do=["pages 2"]
        ask method="resources/read" id=2 uri="u" do=["ask elicitation/create url"]
        ask method="tools/call" id=3 do=["pages 1"]
        wait_asked count=3
        answer
        kill
        wait_born count=2
        answer
        answer
    """,
    "a-modern-server-asks-for-a-page": """
        legacy bridged=unsupported
        hello
        ask method="tools/call" id=1 do=["input 2 2 url"]
        wait_asked count=2
        cut
        wait_born count=2
        answer
        answer
    """,
    "a-question-outlives-the-call-that-it-seemed-to-be-about": """
        modern bridged=strict --bridge modern
        hello
        ask method="tools/call" id=1 do=["hold"]
        ask method="tools/call" id=2 do=["ask elicitation/create"]
        wait_asked
        release id=1
        sleep ms=100
        answer
        wait
    """,
    "a-question-of-a-legacy-server-dies-with-it": """
        modern bridged=strict
        hello
        ask method="tools/call" id=1 level="debug" do=["ask sampling/createMessage"]
        ask method="subscriptions/listen" id=2 uris=["u", "v"]
        wait_asked
        cut
        wait_born count=2
        answer
        cancel id=2
    """,
}

STORIES = {name: Story.read(text) for name, text in _TEXTS.items()}
