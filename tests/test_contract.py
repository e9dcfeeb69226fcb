"""Every line of docs/contract/README.md has a test: here stands which one shows it.

A quote is a piece of the document, and its tests are functions somewhere in `tests/`. A row of a table, or a sentence,
that no quote stands in fails; so does a quote that the document has not, and a test that is not there.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from contract_check import README

TESTS = Path(__file__).parent
CHECKED = ["published", "test_each_topic_has_its_qos_its_retain_flag_and_its_expiry"]
"""The fixture of tests/agent/uplink that checks everything which is published there, and the test for each topic."""

PLAIN = [
    "What it adds to", "the IOC acknowledges what it has **stored**", "Small JSON over MQTT 5", "Generate code from those",
    "read this to know", "Who is there", "The other way", "An event;", "**The gateway** keeps a batch until its acknowledgement",
    "**The IOC**, in one database transaction", "After the commit, and at most once a second",
    "**Replay.** `down/replay` asks for batches again", "A picture is a `snapshot`", "A PUBACK alone is weak",
    "What was not acknowledged is published again", "The gateway reads its own status",
    "Of commands this version of the agent knows", "What did not get through is sent again", "It is the MQTT client id",
    "The schema is closed", "says which message goes where", "What became of a command or a replay",
    "When the clock is set later in the same boot", "`clock` says how far the times", "`config` is a hash of site",
    "`{gw}` is the gateway id", "Names are half of such a batch", "ends one:", "is compared with the gateway's clock", "Times are those that the batches say",
]  # fmt: skip
"""What only leads to what follows it."""

LINES: dict[str, list[str]] = {
    # Head
    "one definition each": ["test_every_message_has_an_example", "test_every_example_is_valid"],
    "what a producer may send": ["test_a_field_that_the_contract_does_not_know_is_rejected_at_the_producer", *CHECKED],
    "A receiver ignores fields": ["test_fields_that_the_ioc_does_not_know_are_ignored"],
    "only optional fields are added": ["test_another_version_is_rejected"],
    # Topics
    "at most 63 characters, never `ioc`": ["test_every_mistake_is_found_at_once_with_its_line_and_what_to_write"],
    "up/birth` | `birth`": ["test_births_are_valid_and_say_what_is_configured", *CHECKED],
    "empty = removed": ["test_status_and_births_are_said_at_each_connection", "published"],
    "up/status` | `status`; also the Will": ["test_the_connection_profile_is_the_contracts", *CHECKED],
    "up/data` | `data`, live": CHECKED,
    "up/backfill` | `data`, late": CHECKED,
    "up/event` | `event`": CHECKED,
    "up/snapshot` | `snapshot`": CHECKED,
    "picture bytes, at most 48 KiB": ["test_a_picture_goes_out_in_parts_that_give_it_again", "published"],
    "up/result` | `result`": CHECKED,
    "`health`, each minute": ["test_health_is_said_at_the_start_and_each_60_seconds", *CHECKED],
    "down/ack` | `ack`": ["test_an_ack_that_was_said_while_we_were_away_is_read_before_anything_is_sent_again"],
    "down/replay` | `replay`": ["test_the_gateway_listens_to_what_is_for_it_and_to_nothing_else"],
    "down/cmd` | `cmd`": ["test_the_gateway_listens_to_what_is_for_it_and_to_nothing_else"],
    "`ioc_state`; also the IOC's Will": ["test_state_is_retained_and_says_offline_when_the_ioc_stops"],
    '`"commands":["snapshot"]`, else `[]`': ["test_the_birth_says_which_commands_there_are"],
    "is a `security.bad_command`": ["test_an_unknown_command_is_a_security_event_at_most_one_in_ten_minutes"],
    # Connection
    "3.1.1 for a broker that knows no other": [
        "test_on_3_1_1_the_iocs_ack_is_required", "test_a_broker_that_knows_3_1_1_only_is_said_with_what_to_set",
    ],
    "plain TCP only with `tls = false`": [
        "test_no_tls_is_a_warning", "test_a_certificate_that_cannot_be_verified_is_refused_by_name",
    ],
    "the gateway id is the client id": ["test_the_connection_profile_is_the_contracts"],
    "Session Expiry Interval 120 s": ["test_the_connection_profile_is_the_contracts"],
    "Will Delay Interval 30 s": [
        "test_the_connection_profile_is_the_contracts", "test_a_reconnect_within_the_delay_publishes_no_will",
    ],
    "the broker's Server Keep Alive": [
        "test_the_shorter_keep_alive_of_the_server_is_the_one_that_counts",
        "test_the_longer_keep_alive_of_the_server_is_the_one_that_counts",
        "test_the_keepalive_is_60_s_and_can_be_120_s_on_a_metered_line",
    ],
    "never more in flight than the broker's": [
        "test_never_more_is_in_flight_than_the_receive_maximum", "test_the_window_obeys_the_broker",
    ],
    "below 60 KiB a packet": [
        "test_no_packet_is_over_60_kib_whatever_was_read", "test_what_is_sealed_after_the_limit_was_told_is_below_it",
        "test_the_store_is_told_what_the_broker_and_the_ioc_take",
    ],
    "by alias where the broker allows it": [
        "test_no_alias_is_above_the_topic_alias_maximum_and_births_have_none",
        "test_mosquitto_takes_aliases_and_passes_on_the_topic", "test_what_is_retained_is_never_sent_by_an_alias",
    ],
    "7 days for everything that counts": ["test_each_topic_has_its_qos_its_retain_flag_and_its_expiry"],
    "longer than 4 KiB comes as several": [
        "test_a_scan_of_a_hundred_points_is_split_by_points_and_fits_any_usual_limit",
    ],
    "too large all the same is put aside": [
        "test_a_long_batch_is_put_aside_at_once_where_the_broker_tells_its_limit",
    ],
    "before the IOC named its `max_bytes`": [
        "test_a_batch_that_was_sealed_before_the_ioc_said_what_it_takes_is_sent_and_not_lost",
    ],
    "when the broker ended the connection with 0x95": [
        "test_a_batch_for_which_the_broker_disconnects_with_0x95_is_put_aside_and_the_rest_flows",
    ],
    "is cut without a word is sent alone": [
        "test_a_batch_at_which_the_connection_is_cut_without_a_word_is_put_off_never_lost_and_the_rest_flows",
    ],
    "tried again every 10 minutes": [
        "test_no_other_end_condemns_and_after_three_cuts_alone_it_is_put_off_and_tried_once_more",
        "test_what_was_put_off_goes_when_the_way_is_free_again",
    ],
    "said by the name of its code": [
        "test_a_refusal_is_said_by_name_with_what_to_try",
        "test_an_end_is_said_by_name_and_tried_again_as_fast_as_makes_sense",
        "test_a_return_code_of_3_1_1_is_said_by_name_with_what_to_try", "test_the_state_says_why_there_is_no_connection",
    ],
    "After 0x8E (taken over)": ["test_after_a_takeover_a_minute_passes_and_the_ioc_is_told"],
    "back at once where the broker shuts down": [
        "test_an_end_is_said_by_name_and_tried_again_as_fast_as_makes_sense",
    ],
    "tries again more slowly each time": ["test_a_busy_broker_is_asked_more_slowly_each_time"],
    # Payloads
    "UTF-8 JSON": ["test_a_batch_of_scans_is_the_contracts_json_field_by_field", "published"],
    "may come as its zlib stream": ["test_small_payloads_stay_json_and_large_ones_are_zlib", "published"],
    "the first byte is `{`": ["test_an_unpacked_and_a_packed_message_are_the_same", "published"],
    "Times are milliseconds": ["test_readings_of_an_unsynchronised_clock_wait_and_are_stamped_with_the_right_time", "published"],
    "of 1 to 5,000 scans": ["test_a_batch_has_5000_scans_at_most", "published"],
    "texts of at most 1,024 characters": [
        "test_a_text_is_at_most_1024_characters_and_one_that_was_cut_is_not_good", "published",
    ],
    "what is null has a `quality`": ["test_a_null_always_has_a_quality_and_a_number_is_always_json", "published"],
    "has `rows`, a batch may say them once:": [
        "test_an_ioc_gets_rows_where_it_says_that_it_reads_them_and_names_where_it_does_not",
    ],
    "a `shape`, counted from 0, and a `row`": ["test_a_batch_in_rows_is_the_contracts_json_field_by_field"],
    "the same as with names, to the last digit": [
        "test_rows_say_what_the_names_said_to_the_last_digit", "test_a_number_is_carried_over_as_the_text_that_it_is",
        "test_rows_are_stored_as_their_names_say",
    ],
    "and may have both kinds of scans": ["test_a_batch_in_rows_is_the_contracts_json_field_by_field"],
    "`quality` and `status` go by name": ["test_a_batch_in_rows_is_the_contracts_json_field_by_field"],
    "says `rows` in the `capabilities`": ["test_births_are_valid_and_say_what_is_configured"],
    "has heard, since it was started,": [
        "test_an_opened_store_seals_names_until_it_is_told", "test_the_store_is_told_whether_the_ioc_reads_rows",
        "test_an_uplink_begins_with_names_also_while_there_is_no_connection",
    ],
    "that each of their IOCs does": [
        "test_rows_are_sealed_only_while_every_uplink_says_that_they_are_read",
        "test_two_uplinks_with_two_formats_share_one_outbox_and_neither_waits_for_the_other",
    ],
    "a state that goes offline, by the Will too": ["test_that_an_ioc_reads_rows_holds_until_it_says_otherwise"],
    "It may send names at any time": ["test_where_no_two_scans_have_the_same_names_there_are_no_rows"],
    "reads them for ever": ["test_rows_are_stored_as_their_names_say"],
    "keeps its bytes, and may come much later": [
        "test_a_batch_never_changes_a_resend_has_the_same_bytes", "test_the_rows_of_a_lost_epoch_go_out_again_unchanged",
    ],
    "or a shape that is not in `shapes`": ["test_a_row_that_does_not_fit_its_shape_breaks_the_contract"],
    "refuse the batch, and do not acknowledge it": ["test_a_bad_row_is_refused_by_name_and_changes_nothing"],
    "the same in every resend": [
        "test_the_id_of_an_event_is_a_ulid_and_the_same_in_every_resend_and_after_kill_9_and_a_power_cut",
    ],
    "`device.up` and `device.down` name the device": [
        "test_a_silent_device_has_quality_com_and_one_event_for_each_end_of_the_episode",
    ],
    "`held_s` being the longest time": ["test_what_may_have_been_lost_is_declared_with_its_numbers_and_a_reason"],
    "by how much the clock moved": ["test_a_step_of_the_clock_is_told_once"],
    "`disk.low` comes before anything is lost": [
        "test_a_disk_that_others_fill_is_told_once_and_again_after_it_had_room",
    ],
    "`reason` `rolled_back`": ["test_an_uplink_that_does_not_come_back_is_rolled_back"],
    "30, 14, 7 and 1 days before": [
        "test_each_day_that_matters_is_told_once_with_file_date_and_days",
        "test_what_was_told_before_a_restart_is_not_told_again",
    ],
    "`certificate.expires_ms` of each health": ["test_the_end_of_a_certificate_is_told_once_shown_and_examined"],
    "`devices` are not read meanwhile": ["test_a_line_that_is_lent_is_ours_alone_and_polled_again_afterwards"],
    "says in `held_s` for how many seconds": ["test_a_line_that_is_lent_is_ours_alone_and_polled_again_afterwards"],
    "a batch carries the `config` of the births": [
        "test_every_batch_says_the_config_of_the_births",
        "test_every_reading_arrives_once_in_order_and_valid_through_outage_and_crash",
    ],
    "in decimal without leading zeros": ["test_a_picture_goes_out_in_parts_that_give_it_again"],
    "No part is empty": ["test_what_cannot_be_a_part_is_malformed"],
    "counts in `seq` and is sent first": ["test_a_picture_counts_by_its_snapshot_and_its_parts_do_not"],
    "the parts follow when it is delivered": ["test_a_picture_is_announced_only_once_it_is_safe_on_the_card"],
    "parts may come twice and in any order": ["test_any_order_with_duplicates_and_restarts_gives_exactly_the_picture"],
    "without all of `privacy` is refused": ["test_without_a_purpose_there_is_no_picture_whoever_asks"],
    "not stored, and not acknowledged": ["test_a_picture_that_does_not_say_why_and_for_how_long_is_refused"],
    "`keep_days` count from `time_ms`": [
        "test_days_count_from_the_arrival_where_the_clock_of_the_gateway_cannot_be_believed",
    ],
    "`missing` says what is not kept any more": ["test_a_result_says_what_was_sent_and_what_is_not_here_any_more"],
    # Delivery
    "and its bytes never change": [
        "test_a_batch_never_changes_a_resend_has_the_same_bytes", "test_no_number_is_ever_used_twice_with_other_bytes",
    ],
    "`epoch` is new only when": ["test_a_corrupt_file_is_set_aside_and_the_agent_runs_on"],
    "`low` is the lowest number that was still undelivered": ["published"],
    "a `data.lost` event says why": ["test_what_may_have_been_lost_is_declared_with_its_numbers_and_a_reason"],
    "as device `_gateway`": ["test_a_quiet_gateway_seals_its_health_as_device_gateway_every_ten_minutes"],
    "`gateway` is the topic's": ["test_a_malformed_message_is_counted_by_reason_and_changes_nothing", "published"],
    "stop at a duplicate": ["test_a_duplicate_is_counted_and_does_nothing"],
    "upsert readings by": ["test_a_reading_that_comes_again_with_another_value_is_counted_as_changed"],
    "raise the highest `low`": ["test_a_low_that_goes_back_changes_nothing"],
    "move `cumulative` over": ["test_cumulative_passes_over_received_and_lost_numbers_and_over_nothing_else"],
    "publish the ack": ["test_acks_come_at_most_once_a_second"],
    "two minutes old is worth a replay": ["test_a_gap_asks_for_replay_when_it_is_old_and_once_in_ten_minutes"],
    '`"ack":true` | `cumulative`': [
        "test_in_mode_ioc_only_the_iocs_ack_marks_delivered", "test_auto_follows_the_retained_state_of_the_ioc",
    ],
    "after 10 s in a new process": [
        "test_a_new_process_takes_no_puback_for_delivery_before_it_knows_the_ioc",
        "test_in_mode_broker_a_puback_marks_delivered",
    ],
    "| MQTT 3.1.1 | only `down/ack`": ["test_on_3_1_1_the_iocs_ack_is_required"],
    "answers 0x00 and drops": ["test_what_an_overflowing_broker_drops_is_sent_again"],
    "does not go back to PUBACKs": ["test_an_ioc_that_was_seen_once_is_not_forgotten_by_a_broker_that_restarts"],
    "60 s after its PUBACK": [
        "test_what_is_not_acknowledged_is_sent_again_with_the_same_bytes",
        "test_nothing_is_lost_when_the_broker_is_killed_with_publishes_in_flight",
        "test_an_ioc_that_has_come_up_gets_what_it_lacks_at_once",
    ],
    "asked with one batch a minute": ["test_an_ioc_that_says_nothing_is_asked_with_one_batch"],
    "Live batches go first": ["test_live_goes_before_the_backlog_and_the_backlog_goes_oldest_first"],
    "at most three quarters of the window": [
        "test_backfill_takes_at_most_three_quarters_of_the_window", "test_the_backlog_keeps_its_pace",
        "test_the_ioc_sets_the_pace_of_what_is_late_and_only_downwards",
    ],
    'the state says `"online":false` no data is sent': ["test_nothing_is_sent_while_the_ioc_is_offline"],
    "by `ranges` of an `epoch`": [
        "test_the_ioc_asks_over_the_broker_and_gets_the_batches_and_their_results",
        "test_a_request_by_time_sends_what_has_anything_of_it",
    ],
    "so what you have already is a duplicate": ["test_a_replay_sends_the_same_bytes_again_and_is_answered"],
    "a batch comes whole": ["test_a_request_by_time_sends_what_has_anything_of_it"],
    "When the broker has all of them": ["test_no_result_comes_before_the_broker_has_everything"],
    "found by its wrong time": ["test_a_packed_batch_is_looked_into_and_one_that_cannot_be_read_is_sent"],
    "three of four turns": [
        "test_requests_go_one_after_the_other_and_no_more_wait_than_may",
        "test_a_replay_and_a_backlog_share_the_pace_and_live_goes_before_both",
    ],
    "a ninth is refused": ["test_requests_go_one_after_the_other_and_no_more_wait_than_may"],
    "survive a restart of the gateway": ["test_a_replay_survives_a_restart_of_the_gateway"],
    '`"error":"cancelled"`': ["test_a_request_that_is_cancelled_says_what_was_sent_until_then"],
    "| 0x00 | has delivered": ["test_in_mode_broker_a_puback_marks_delivered"],
    "| 0x10 nobody subscribes": [
        "test_without_a_subscriber_nothing_is_delivered_and_it_is_tried_again",
        "test_what_is_refused_for_now_is_kept_and_sent_again_after_a_pause",
    ],
    "| 0x87, 0x90 not allowed": [
        "test_a_forbidden_topic_raises_an_alarm_drops_nothing_and_recovers", "test_a_forbidden_topic_stops_alone",
    ],
    "| 0x95, 0x99 too large": [
        "test_what_is_refused_for_good_is_put_aside_and_the_rest_flows",
        "test_a_batch_that_the_broker_refuses_by_puback_as_too_large_is_put_aside_and_the_rest_flows",
    ],
    "| any other | keeps it": [
        "test_what_is_refused_for_now_is_kept_and_sent_again_after_a_pause",
        "test_every_code_of_a_puback_is_heard_and_ends_no_connection", "test_a_pause_is_no_longer_than_the_code_allows",
    ],
    "`alarm.raise` with the `reason` `clock`": [
        "test_a_clock_that_differs_from_the_iocs_raises_an_alarm_and_is_not_set",
    ],
    "It never sets a clock": ["test_a_clock_that_differs_from_the_iocs_raises_an_alarm_and_is_not_set"],
    "A late Will that says offline": [
        "test_a_late_will_is_answered_by_saying_online_again",
        "test_a_late_will_that_is_older_than_this_connection_is_answered_by_online",
    ],
    "another client that says it is this gateway": ["test_a_second_gateway_with_our_id_is_a_security_event"],
    # Quality and time
    "Absent means good": ["test_a_batch_of_scans_is_the_contracts_json_field_by_field", "published"],
    "| | good |": ["test_every_quality_of_the_table_is_in_the_schema_and_in_the_drivers"],
    "unsync` never yet in this boot": ["test_the_kernel_decides_whether_the_clock_is_synchronised"],
    "15 minutes by default": ["test_readings_of_an_unsynchronised_clock_wait_and_are_stamped_with_the_right_time"],
    "sealed as they are": ["test_without_synchronisation_readings_leave_after_the_hold_and_say_so"],
    "**add `offset_ms` to the times in them**": [
        "test_times_of_a_clock_that_was_set_late_are_made_right_in_whatever_order_messages_come",
    ],
    "The batch keeps its bytes": ["test_a_batch_never_changes_a_resend_has_the_same_bytes"],
    "is never corrected": ["test_what_an_earlier_boot_read_is_not_moved_by_this_ones_clock"],
}  # fmt: skip
QUALITIES = re.compile(r"^\| `(\w{3})` \|", re.MULTILINE)
HEADS = ("| Topic |", "| PUBACK |", "| | |", "| | counts", "| | Meaning")


@cache
def functions() -> frozenset[str]:
    """The names of all functions in the tests."""
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in TESTS.rglob("*.py"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, kinds))


def rows_and_sentences() -> list[str]:
    """The document without its examples, line by line of the tables and sentence by sentence."""
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    lines = text.splitlines()
    rows = [line for line in lines if line.startswith("|") and "---" not in line and not line.startswith(HEADS)]
    prose = "\n".join(line for line in lines if not line.startswith(("|", "#")))
    return [row for row in rows if not QUALITIES.match(row)] + [
        sentence
        for paragraph in re.split(r"\n\s*\n", prose)
        for sentence in re.split(r"(?<=[.:;]) ", " ".join(paragraph.split()))
        if sentence
    ]


@pytest.mark.parametrize("quote", [*LINES, *PLAIN])
def test_the_document_says_it(quote: str) -> None:
    assert any(quote in line for line in rows_and_sentences())


@pytest.mark.parametrize("quote", LINES)
def test_there_is_a_test_that_shows_it(quote: str) -> None:
    assert LINES[quote]
    assert set(LINES[quote]) <= functions()


def test_every_row_and_every_sentence_has_a_test() -> None:
    quotes = [*LINES, *PLAIN]
    assert [line for line in rows_and_sentences() if not any(quote in line for quote in quotes)] == []


def test_every_quality_of_the_table_is_in_the_schema_and_in_the_drivers() -> None:
    from contract_check import SCHEMA

    from drivers.api import Quality

    table = QUALITIES.findall(README)
    assert table == SCHEMA["$defs"]["quality"]["enum"]
    assert set(table) == {quality.value for quality in Quality if quality.value}
