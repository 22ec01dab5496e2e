"""The broker the tests run on."""

from uuid import uuid4

from kafka import KafkaAdminClient


def test_it_creates_no_topic_by_accident(kafka: str) -> None:
    topic = f"topic-{uuid4().hex}"
    with KafkaAdminClient(bootstrap_servers=kafka) as admin:
        assert admin.describe_topics([topic])[0]["error_code"] == 3  # unknown topic
        assert topic not in admin.list_topics()
