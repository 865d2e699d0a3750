//! Reads every route with the crates `waka` and `wakapi`, and prints what they understood, as JSON.
//!
//! Usage: `wakatime-readers URL KEY DATE`. A reply that does not fit a client's types ends it with an error.

use std::error::Error;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use waka::WakaTimeClientBuilder;
use wakapi::{
    AllTimeSinceToday, AllTimeSinceTodayParams, Durations, DurationsParams, Heartbeats,
    HeartbeatsParams, Stats, StatsParams, Summaries, SummariesParams, WakapiClient,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .ok_or("usage: wakatime-readers URL KEY DATE")
    };
    let (url, key, date) = (next()?, next()?, next()?);
    let read =
        json!({"waka": waka(&url, &key, &date).await?, "wakapi": wakapi(&url, &key, &date).await?});
    println!("{read}");
    Ok(())
}

/// All that is Devtrail's, by the client that follows WakaTime's documentation.
async fn waka(url: &str, key: &str, date: &str) -> Result<Value, Box<dyn Error>> {
    let client = WakaTimeClientBuilder::new_with_api_key(key)
        .with_base_url(format!("{url}/api/v1"))
        .build()?;
    Ok(json!({
        "user": client.user().await?,
        "status_bar": client.status_bar_today().await?,
        "summaries": client.summaries(date, date, Default::default()).await?,
        "stats": client.stats("all_time", Default::default()).await?,
        "all_time": client.all_time_since_today(Default::default()).await?,
        "durations": client.durations(date, Default::default()).await?,
        "heartbeats": client.heartbeats(date).await?,
        "projects": client.projects_all(None).await?,
        "user_agents": client.user_agents().await?,
        "machine_names": client.machine_names().await?,
    }))
}

/// The main numbers, by the client that was made for WakaTime-compatible servers.
async fn wakapi(url: &str, key: &str, date: &str) -> Result<Value, Box<dyn Error>> {
    let client = WakapiClient::new(url, &STANDARD.encode(key));
    let all_time = match AllTimeSinceToday::fetch(&client, AllTimeSinceTodayParams::new()).await? {
        AllTimeSinceToday::Success(body) => body.data.total_seconds,
        AllTimeSinceToday::WillRefresh(_) => return Err("the sum of all time is not there".into()),
    };
    let durations = Durations::fetch(&client, DurationsParams::new(Some(date.to_owned()))).await?;
    let summaries = Summaries::fetch(&client, SummariesParams::from_interval(date, date)).await?;
    let stats = Stats::fetch(&client, StatsParams::from_range("all_time")).await?;
    let heartbeats = Heartbeats::fetch(&client, HeartbeatsParams::from_date_str(date)?).await?;
    Ok(json!({
        "all_time": all_time,
        "summaries": summaries.data.iter().map(|day| day.grand_total.total_seconds).sum::<f64>(),
        "stats": stats.data.total_seconds_including_other_language,
        "durations": durations.data.iter().map(|one| one.duration).sum::<f64>(),
        "heartbeats": heartbeats.data.iter().map(|one| &*one.entity).collect::<Vec<&str>>(),
    }))
}
